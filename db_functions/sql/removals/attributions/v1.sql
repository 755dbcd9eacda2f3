drop view ml.attributions, ml.attribution_importance;
drop function ml.write_attributions(uuid, text, timestamptz, boolean, text[], text[], double precision[], double precision[], double precision[], double precision[]);
drop table ml.attributed_scores;
