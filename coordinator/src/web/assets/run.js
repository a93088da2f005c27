// The page of one run, as far as its chart goes: everything else is asked for when the chart is there.

import { Address } from "./address.js";
import { Panel } from "./panel.js";
import { byId } from "./shell.js";
import { View } from "./view.js";

const panel = new Panel(byId("chart"), new View(), { whole: true });
const address = new Address(panel);

panel.load(() => address.showChart()).then(() => panel.chart.shown).catch((error) => {
  panel.scaleLine.textContent = error.message;
}).finally(async () => {
  const { Page } = await import("./page.js");
  new Page(panel, address);
});
