create schema ml;
comment on schema ml is 'Pattern scoring: settings, models, queue, predictions, monitoring';
