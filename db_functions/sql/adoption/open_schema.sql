-- Two schemas: ml is what people read and call, ml_internal what the system itself needs.
create schema ml authorization ml_owner;
comment on schema ml is 'Pattern scoring: settings, models, queue, predictions, monitoring';
create schema ml_internal authorization ml_owner;
comment on schema ml_internal is 'The inside of pattern scoring; it may change with any release';
-- For the whole database: the same within a schema would take nothing away.
alter default privileges for role ml_owner revoke execute on routines from public;
