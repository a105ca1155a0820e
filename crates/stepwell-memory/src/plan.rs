//! Plans that workers registered.

use std::sync::Arc;

use stepwell_core::{Name, PlanSpec, job::PlanRef};

use crate::state::State;

impl State {
    pub(crate) fn newest_plan(&self, kind: &Name) -> Option<(Arc<PlanSpec>, PlanRef)> {
        let newest = self.plans_of(kind).max_by_key(|(_, (_, generation))| *generation);
        newest.map(|(hash, (spec, generation))| {
            (Arc::clone(spec), PlanRef { hash: hash.as_str().into(), generation: *generation })
        })
    }
    pub(crate) fn plans_of<'a>(
        &'a self,
        kind: &'a Name,
    ) -> impl Iterator<Item = (&'a String, &'a (Arc<PlanSpec>, u64))> {
        let of_kind = self.plans.range((kind.clone(), String::new())..);
        of_kind.take_while(move |((name, _), _)| name == kind).map(|((_, hash), plan)| (hash, plan))
    }
    pub(crate) fn put_plan(&mut self, spec: &PlanSpec, plan_ref: &PlanRef) {
        let key = (spec.kind.clone(), plan_ref.hash.as_ref().to_owned());
        self.plans.insert(key, (Arc::new(spec.clone()), plan_ref.generation));
    }
}
