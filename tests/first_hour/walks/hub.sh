# An engineer with hub habits: names of models.
transferability rank --models bert-base-uncased --text texts.csv
transferability rank --models resnet18 --images .
transferability rank --models hf:bert-base-uncased
transferability rank resnet50.npy --models hf:bert-base-uncased
transferability layers vit_base
