//! What `needs` may say: that an op follows the one before it, which is also what holds without it.
//!
//! The field is there so that specs may spell their chain out; everything else is refused by its name (a cycle, an
//! unknown op, a branch) until there are jobs that are no chains.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::problems::Problems;
use crate::v1;

/// The name of the op that the first one follows.
const EXTRACT: &str = "extract";

pub(super) fn check(problems: &mut Problems, ops: &[v1::Op]) {
    let places: BTreeMap<&str, usize> = ops
        .iter()
        .enumerate()
        .rev()
        .map(|(place, op)| (op.name.as_str(), place))
        .collect();
    for place in 0..ops.len() {
        if let Some(problem) = problem_of(ops, &places, place) {
            problems.add(format!("ops[{place}].needs"), problem);
        }
    }
}

fn problem_of(ops: &[v1::Op], places: &BTreeMap<&str, usize>, place: usize) -> Option<String> {
    let op = &ops[place];
    let previous = place.checked_sub(1).map_or(EXTRACT, |before| ops[before].name.as_str());
    let wrong = op.needs.iter().find(|name| name.as_str() != previous);
    let Some(wrong) = wrong else {
        return (op.needs.len() > 1).then(|| format!("names {previous:?} twice"));
    };
    if wrong == EXTRACT {
        return Some(branch(previous));
    }
    let Some(&needed) = places.get(wrong.as_str()) else {
        let names: Vec<&str> = ops.iter().map(|op| op.name.as_str()).collect();
        return Some(format!("there is no op {wrong:?}; the ops are {}", names.join(", ")));
    };
    if let Some(way) = way_back(ops, places, needed, place) {
        return Some(format!("is a cycle: {} -> {}", op.name, way.join(" -> ")));
    }
    if needed > place {
        return Some(format!("{wrong:?} comes later; list the ops in the order of the chain"));
    }
    Some(branch(previous))
}

fn branch(previous: &str) -> String {
    format!("is a branch: ops form one chain, so this one may need {previous:?} only; leave it out")
}

/// Returns the names of the ops on a way from `from` along what each op needs to `to`, if there is one.
fn way_back<'a>(ops: &'a [v1::Op], places: &BTreeMap<&str, usize>, from: usize, to: usize) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::from([(from, from)]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            let mut way = vec![ops[at].name.as_str()];
            let mut here = at;
            while here != from {
                here = came_from[&here];
                way.push(ops[here].name.as_str());
            }
            way.reverse();
            return Some(way);
        }
        let implied = ops[at].needs.is_empty().then(|| at.checked_sub(1)).flatten();
        let named = ops[at]
            .needs
            .iter()
            .filter_map(|name| places.get(name.as_str()).copied());
        for next in named.chain(implied) {
            if let Entry::Vacant(entry) = came_from.entry(next) {
                entry.insert(at);
                open.push(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(ops: &[(&str, &[&str])]) -> Vec<String> {
        let ops: Vec<v1::Op> = ops
            .iter()
            .map(|(name, needs)| v1::Op {
                name: (*name).to_owned(),
                needs: needs.iter().map(|need| (*need).to_owned()).collect(),
                ..v1::Op::default()
            })
            .collect();
        let mut problems = Problems::default();
        check(&mut problems, &ops);
        let lines = problems.into_inner().into_iter();
        lines
            .map(|problem| format!("{}: {}", problem.path, problem.problem))
            .collect()
    }

    #[test]
    fn needs_may_spell_the_chain_out() {
        assert!(problems(&[("a", &[]), ("b", &["a"]), ("c", &[])]).is_empty());
        assert!(problems(&[("a", &["extract"]), ("b", &["a"])]).is_empty());
    }

    #[test]
    fn an_unknown_op_is_named_with_those_there_are() {
        assert_eq!(
            problems(&[("a", &[]), ("b", &["x"])]),
            ["ops[1].needs: there is no op \"x\"; the ops are a, b"]
        );
    }

    #[test]
    fn a_cycle_is_shown() {
        assert_eq!(problems(&[("a", &["a"])]), ["ops[0].needs: is a cycle: a -> a"]);
        assert_eq!(
            problems(&[("a", &["c"]), ("b", &["a"]), ("c", &[])]),
            ["ops[0].needs: is a cycle: a -> c -> b -> a"]
        );
    }

    #[test]
    fn a_branch_and_a_chain_out_of_order_are_refused() {
        let found = problems(&[("a", &[]), ("b", &[]), ("c", &["a"])]);
        assert!(found[0].starts_with("ops[2].needs: is a branch"), "{found:?}");
        let found = problems(&[("a", &["b"]), ("b", &["extract"])]);
        assert_eq!(
            found[0],
            "ops[0].needs: \"b\" comes later; list the ops in the order of the chain"
        );
    }
}
