drop function ml.reblend(text, boolean, text, timestamptz, integer, bigint);
drop view ml.reblend_preview;
drop table ml.reblends;
