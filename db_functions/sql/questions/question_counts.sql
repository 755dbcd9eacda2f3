create table ml_internal.question_counts (
    kind      text not null,
    reason    text not null,
    patterns  bigint not null,
    primary key (kind, reason)
);
comment on table ml_internal.question_counts is
    'How many patterns were asked about since the beginning; they are in no other count';
