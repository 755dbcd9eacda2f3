drop function ml.announce_scores(uuid[]);
alter table ml.settings drop column announce;
