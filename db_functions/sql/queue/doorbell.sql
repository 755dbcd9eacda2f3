-- Every role may LISTEN and NOTIFY on any channel whose name it knows. Workers listen on this one
-- alone, so that no other role can wake them or flood them.
create table ml_internal.doorbell (
    channel  text not null default 'ml_doorbell_' || replace(gen_random_uuid()::text, '-', '')
);
comment on table ml_internal.doorbell is 'The channel that wakes workers; only they may read it';
insert into ml_internal.doorbell default values;
