//! The registry: which kinds of op this worker can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::failure::Failure;
use common::job::OpKind;

use super::OpFactory;
use super::exec::{AllowedPrograms, ExecFactory};
use super::{add, extract, filter, noop, require, select, write};

/// The kinds of op that a worker can do, by name.
#[derive(Clone)]
pub struct Registry {
    factories: Arc<BTreeMap<&'static str, Box<dyn OpFactory>>>,
    /// Whether any program is allowed.
    offers_exec: bool,
}

impl Registry {
    /// Returns the kinds that come with Plumbline and run nothing else.
    pub fn standard() -> Registry {
        Registry::with_programs(AllowedPrograms::default())
    }

    /// Returns the standard kinds, and `exec` if any program is allowed.
    pub fn with_programs(allowed: AllowedPrograms) -> Registry {
        let offers_exec = !allowed.is_empty();
        let factories: [Box<dyn OpFactory>; 8] = [
            Box::new(extract::ExtractFactory),
            Box::new(select::SelectFactory),
            Box::new(add::AddFactory),
            Box::new(filter::FilterFactory),
            Box::new(require::RequireFactory),
            Box::new(noop::NoopFactory),
            Box::new(write::WriteFactory),
            // A worker that runs no programs still does the other ops of a chain, and has to know their columns.
            Box::new(ExecFactory::new(allowed)),
        ];
        Registry {
            factories: Arc::new(factories.into_iter().map(|factory| (factory.kind(), factory)).collect()),
            offers_exec,
        }
    }

    /// Returns the names of the kinds, as a worker announces them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        let is_offered = |name: &&'static str| *name != "exec" || self.offers_exec;
        self.factories.keys().copied().filter(is_offered)
    }

    /// Returns the factory of an op's kind.
    pub(super) fn factory(&self, kind: &OpKind) -> Result<&dyn OpFactory, Failure> {
        self.factories
            .get(kind.name())
            .map(Box::as_ref)
            .ok_or_else(|| Failure::permanent(format!("this worker cannot do the op {}; upgrade it", kind.name())))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_op_of_the_vocabulary_is_registered_and_exec_only_where_programs_are_allowed() {
        let mut names = OpKind::NAMES;
        names.sort_unstable();
        let allowed = AllowedPrograms::find(&["/bin/sh".to_owned()], "".as_ref()).expect("is there");
        assert!(Registry::with_programs(allowed).names().eq(names));
        let without = names.into_iter().filter(|name| *name != "exec");
        assert!(Registry::standard().names().eq(without));
    }
}
