create table ml_internal.tallies (
    xid       xid8 not null default pg_current_xact_id(),
    at        timestamptz not null,
    source    text not null,
    role      text not null,
    model_id  integer not null,
    rows      integer not null,
    cells     integer[] not null,
    counts    integer[] not null,
    sums      double precision[] not null,
    squares   double precision[] not null
)
-- A batch of one row has some 3 kB, which compression would not make smaller.
with (toast_tuple_target = 4080);
comment on table ml_internal.tallies is
    'One row a batch of one model, appended with its '
    'scores: how many values fell in which of its cells';
comment on column ml_internal.tallies.sums is
    'sum of the finite values of each variable, by position '
    'in ml_internal.bins; squares: of their squares';
create index tallies_by_xid on ml_internal.tallies (xid);
