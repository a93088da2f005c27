//! The registry: which kinds of op this worker can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::failure::Failure;
use common::job::OpKind;

use super::OpFactory;
use super::{add, extract, filter, noop, require, select, write};

/// The kinds of op that a worker can do, by name.
#[derive(Clone)]
pub struct Registry {
    factories: Arc<BTreeMap<&'static str, Box<dyn OpFactory>>>,
}

impl Registry {
    /// Returns the kinds that come with Plumbline.
    pub fn standard() -> Registry {
        let factories: [Box<dyn OpFactory>; 7] = [
            Box::new(extract::ExtractFactory),
            Box::new(select::SelectFactory),
            Box::new(add::AddFactory),
            Box::new(filter::FilterFactory),
            Box::new(require::RequireFactory),
            Box::new(noop::NoopFactory),
            Box::new(write::WriteFactory),
        ];
        Registry {
            factories: Arc::new(factories.into_iter().map(|factory| (factory.kind(), factory)).collect()),
        }
    }

    /// Returns the names of the kinds, as a worker announces them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.factories.keys().copied()
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
    fn every_kind_of_op_of_the_vocabulary_is_registered() {
        let mut names = OpKind::NAMES;
        names.sort_unstable();
        assert!(Registry::standard().names().eq(names));
    }
}
