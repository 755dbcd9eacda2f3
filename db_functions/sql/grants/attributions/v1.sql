alter table ml.attributed_scores owner to ml_owner;
alter view ml.attributions owner to ml_owner;
alter view ml.attribution_importance owner to ml_owner;
alter function ml.write_attributions(uuid, text, timestamptz, boolean, text[], text[], double precision[], double precision[], double precision[], double precision[]) owner to ml_owner;
revoke all on function ml.write_attributions(uuid, text, timestamptz, boolean, text[], text[], double precision[], double precision[], double precision[], double precision[]) from public;
grant select on ml.attributed_scores, ml.attributions, ml.attribution_importance to ml_analyst, ml_publisher, ml_operator;
grant execute on function ml.write_attributions(uuid, text, timestamptz, boolean, text[], text[], double precision[], double precision[], double precision[], double precision[]) to ml_publisher;
