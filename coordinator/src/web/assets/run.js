// The page of one run, as far as its chart goes: everything else is asked for when the chart is there.

import { Address } from "./address.js";
import { Panel } from "./panel.js";
import { byId, onPress } from "./shell.js";
import { View } from "./view.js";

const panel = new Panel(byId("chart"), new View(), { whole: true });
const address = new Address(panel);
/** What was pressed before there was anybody to answer it. */
let pressed = null;
let isWhole = false;
onPress("[data-act], [data-tab]", (button) => isWhole || (pressed = button));

panel.load(() => address.showChart()).then(() => panel.chart.shown).catch((error) => {
  panel.scaleLine.textContent = error.message;
}).finally(async () => {
  const { Page } = await import("./page.js");
  new Page(panel, address);
  isWhole = true;
  pressed?.click();
});
