# A paper's author: groups, all metrics, learning curves.
transferability rank resnet50.npy vit_small.npy --labels labels.npy --groups videos.npy --aggregate min
transferability rank wide.npy vit_small.npy --labels phases.npy --groups videos.npy --aggregate min --metrics logme,h_score
transferability rank resnet50.npy --labels labels.npy --aggregate min
transferability score resnet50.npy labels.npy --metrics leep
transferability score resnet50.npy labels.npy --leave-out group --metrics ridge_probe
transferability forecast curve.csv --target-value 0.8
transferability forecast curve.csv --target-value 80 --limit 100
transferability health resnet50.npy random.npy
