# A platform engineer: shards, exit codes, pipelines.
transferability stats resnet50.npy --labels labels.npy -o resnet50.stats
transferability rank resnet50.stats
transferability score resnet50.stats --metrics knn
transferability rank resnet50.npy short.npy --labels labels.npy
transferability rank short.npy --labels labels.npy --csv > short.csv; cut -d, -f1-3,8 short.csv
transferability rank nope --labels labels.npy
transferability rank nope --labels labels.npy --dask tcp://127.0.0.1:1
transferability score resnet50.npy
transferability rank resnet50.npy vit_small.npy random.npy --labels labels.npy --csv > ranking.csv && transferability eval ranking.csv truth.csv
