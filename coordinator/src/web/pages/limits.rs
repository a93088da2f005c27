//! The limits that runs share: the coordinator's cap and the pools, who holds units of them, and setting them.

use maud::{Markup, html};
use scheduler::PoolView;

use super::format::count;
use crate::service::ClusterView;

/// Shows all of them, each with a button that asks for another limit.
pub(super) fn shared(cluster: &ClusterView, pools: &[PoolView]) -> Markup {
    html! {
        section aria-labelledby="shared" {
            div class="row between apart" {
                h2 id="shared" { "Limits that runs share" }
                button type="button" data-pool="" aria-haspopup="dialog" { "New pool…" }
            }
            div class="scroll" role="region" aria-label="Every limit and who holds it" tabindex="0" {
                table {
                    thead { tr {
                        th scope="col" { "Limit" }
                        th scope="col" { "In use" }
                        th scope="col" { "Held by" }
                        th scope="col" { span class="sr" { "Actions" } }
                    } }
                    tbody {
                        (cap(cluster))
                        @for pool in pools { (row(pool)) }
                    }
                }
            }
            @if pools.is_empty() {
                p class="quiet" {
                    "There is no pool. Ops that name one, as in " code { "pools: [geocoder]" } ", take a unit of it each while they run, over all runs."
                }
            }
        }
    }
}

fn cap(cluster: &ClusterView) -> Markup {
    html! {
        tr {
            td class="name" { "The coordinator's cap" }
            td {
                @match cluster.max_concurrent {
                    Some(cap) => (used(cluster.busy, cap.get().into())),
                    None => { (count(cluster.busy)) " of " (count(cluster.slots)) " slots " small class="quiet" { "no cap is set" } },
                }
            }
            td class="quiet" { "all runs" }
            td {
                button type="button" data-cap=[Some(cluster.max_concurrent.map_or(String::new(), |cap| cap.to_string()))]
                    aria-label="Change the coordinator's cap" aria-haspopup="dialog" { "Change…" }
            }
        }
    }
}

fn row(pool: &PoolView) -> Markup {
    let name = pool.name.as_str();
    html! {
        tr data-key=(name) {
            td class="name" { code { (name) } }
            td { (used(pool.used.into(), pool.limit.into())) }
            td {
                @for (place, (run, units)) in pool.holders.iter().enumerate() {
                    @if place > 0 { ", " }
                    a href={ "/runs/" (run) } { (run) } " " (units)
                }
            }
            td {
                button type="button" data-pool=(name) data-limit=(pool.limit) aria-label={ "Change the pool " (name) }
                    aria-haspopup="dialog" { "Change…" }
            }
        }
    }
}

/// A bar and two numbers; more may be in use than a limit that was lowered allows.
fn used(units: u64, limit: u64) -> Markup {
    let share = (units as f64 / limit.max(1) as f64).min(1.0);
    html! {
        span class="bar" {
            svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
                rect class="done" height="8" width=(format!("{:.1}", share * 100.0)) {}
            }
        }
        (count(units)) " of " (count(limit))
    }
}
