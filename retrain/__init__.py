"""What happens over time: solvers, rate policies, the training loop, snapshots and the log.

`retrain.solvers` holds Caffe's solvers as torch optimizers, `retrain.policies` its learning rate
policies, `retrain.loop.Trainer` runs a solver file. Nothing heavy is imported from here.
"""
