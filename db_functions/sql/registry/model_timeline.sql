create view ml.model_timeline with (security_invoker = true) as
select a.alias, m.version, m.algorithm, a.cause, a.forced, a.valid_from, a.valid_to,
       a.set_by, a.reason
from ml.aliases a join ml.models m on m.id = a.model_id
order by a.valid_from desc;
comment on view ml.model_timeline is 'What served when, set by whom and why';
comment on column ml.model_timeline.alias is 'champion or challenger';
comment on column ml.model_timeline.version is 'the model';
comment on column ml.model_timeline.algorithm is 'what the model is, as registered';
comment on column ml.model_timeline.cause is 'promote, rollback or challenge';
comment on column ml.model_timeline.forced is 'true: promoted although a gate did not pass';
comment on column ml.model_timeline.valid_from is 'when it got the alias';
comment on column ml.model_timeline.valid_to is 'when it lost the alias; null while it has it';
comment on column ml.model_timeline.set_by is 'who gave it the alias';
comment on column ml.model_timeline.reason is 'the reason given';
