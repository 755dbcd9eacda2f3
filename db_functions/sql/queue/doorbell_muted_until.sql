-- Muted until this moment, in epoch milliseconds. A sequence, since its value is read and set at
-- once at any isolation level and without locks.
create sequence ml_internal.doorbell_muted_until minvalue 0 maxvalue 9223372036854775807 start 0;
comment on sequence ml_internal.doorbell_muted_until is
    'NOTIFY is not sent before this moment (epoch milliseconds)';
