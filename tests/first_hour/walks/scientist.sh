# A NumPy scientist with features in files.
transferability --help
transferability rank resnet50.npy vit_small.npy random.npy --labels labels.npy
transferability rank resnet50.npy vit_small.npy random.npy --labels labels.npy --metrics logme,h_score,regularized_h_score,lfc,cka,transrate,gbc,lda
transferability rank resnet50.npy vit_small.npy random.npy --labels labels.npy --shortlist
transferability score all.npz
transferability score all.npz --explain
transferability score flat.npy labels.npy
transferability score resnet50.npy onehot.npy --task classification
transferability score resnet50.npy labels.npy --metrics logmee
