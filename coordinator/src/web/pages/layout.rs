//! The frame around every page: head, navigation, the sheet of keys.

use maud::{DOCTYPE, Markup, html};

use super::Site;

/// What is different from page to page in the frame.
pub(super) struct Frame<'a> {
    /// The page's name.
    pub(super) title: &'a str,
    /// Where the page stands in the navigation.
    pub(super) place: Place,
    /// The page's module.
    pub(super) script: &'a str,
    /// What the module will ask for first: the browser asks for it at once.
    pub(super) ahead: Option<&'a str>,
}

/// The places of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Runs,
    Workers,
    New,
    Elsewhere,
}

const PLACES: [(Place, &str, &str); 3] = [
    (Place::Runs, "/", "Runs"),
    (Place::Workers, "/workers", "Workers"),
    (Place::New, "/new", "New run"),
];

const KEYS: [(&[&str], &str); 13] = [
    (&["?"], "Show or close this sheet"),
    (&["←", "→"], "Pan in time"),
    (&["↑", "↓"], "Pan over rows"),
    (&["+", "-"], "Zoom in time"),
    (&["0"], "Fit the whole run"),
    (&["f"], "Follow the newest"),
    (&["b"], "By batch"),
    (&["s"], "By slot"),
    (&["e", "E"], "Next, previous failure"),
    (&["n", "N"], "Next, previous task"),
    (&["/"], "Filter the tasks"),
    (&["Enter"], "Inspect the selected task"),
    (&["Esc"], "Close what is open"),
];

/// Puts a page into its frame.
pub(super) fn whole(site: &Site, frame: &Frame<'_>, body: &Markup) -> Markup {
    let asset = |name: &str| site.assets.url(name);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (frame.title) " · Plumbline" }
                link rel="icon" href=(asset("icon.svg")) type="image/svg+xml";
                script src=(asset("theme.js")) {}
                link rel="stylesheet" href=(asset("style.css"));
                @if let Some(url) = frame.ahead { link rel="preload" as="fetch" crossorigin="anonymous" href=(url); }
                script type="module" src=(asset(frame.script)) {}
                @for module in site.assets.imports(frame.script) { link rel="modulepreload" href=(module); }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header class="top" {
                    a class="brand" href="/" { img src=(asset("icon.svg")) alt=""; "Plumbline" }
                    nav aria-label="Pages" {
                        @for (place, href, name) in PLACES {
                            a href=(href) aria-current=[(place == frame.place).then_some("page")] { (name) }
                        }
                    }
                    div class="tools" {
                        span id="live" class="live" role="status" data-state="none" {}
                        button id="theme" type="button" { "Theme" }
                        button id="help" type="button" aria-haspopup="dialog" aria-label="Keyboard shortcuts" { kbd { "?" } }
                    }
                }
                main id="main" tabindex="-1" { (body) }
                (keys())
            }
        }
    }
}

fn keys() -> Markup {
    html! {
        dialog id="keys" aria-labelledby="keys-title" {
            h2 id="keys-title" { "Keys" }
            table {
                tbody {
                    @for (keys, meaning) in KEYS {
                        tr {
                            th scope="row" { @for key in keys { kbd { (key) } " " } }
                            td { (meaning) }
                        }
                    }
                }
            }
            p class="row" { button type="button" id="keys-close" { "Close" } }
        }
    }
}
