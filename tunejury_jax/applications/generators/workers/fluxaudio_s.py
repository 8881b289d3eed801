"""FluxAudio-S of the MeanAudio project: 16 kHz mono, 25 Euler steps, guidance 4.5.

Run it with the python of MeanAudio's own environment, in a clone of github.com/xiquan-li/MeanAudio whose `weights/`
holds the files of huggingface.co/AndreasXi/MeanAudio; it needs a GPU, as that project's text encoder does.
Written after infer.py and eval_utils.py of commit 8740a3e; not run against the real weights by this project.
"""

import hashlib
import os
import sys

sys.path.insert(1, os.getcwd())  # the clone; beside this script lies serve.py

import torch
from meanaudio.eval_utils import all_model_cfg, generate_fm  # type: ignore[import-not-found]
from meanaudio.model.flow_matching import FlowMatching  # type: ignore[import-not-found]
from meanaudio.model.networks import get_mean_audio  # type: ignore[import-not-found]
from meanaudio.model.utils.features_utils import FeaturesUtils  # type: ignore[import-not-found]
from serve import serve  # type: ignore[import-not-found]

VARIANT = "fluxaudio_s"
STEPS = 25
GUIDANCE = 4.5
CHECKPOINT = sys.argv[1] if len(sys.argv) > 1 else "weights/fluxaudio_s_full.pth"
"""A fine-tuned one is given as the script's argument."""


def load():
    """Loads networks and text encoders; returns what makes a clip."""
    chosen = all_model_cfg[VARIANT]
    network = get_mean_audio(chosen.model_name, use_rope=True, text_c_dim=512).to("cuda", torch.bfloat16).eval()
    network.load_weights(torch.load(CHECKPOINT, map_location="cuda", weights_only=True))
    features = FeaturesUtils(
        tod_vae_ckpt=chosen.vae_path,
        enable_conditions=True,
        encoder_name="t5_clap",
        mode=chosen.mode,
        bigvgan_vocoder_ckpt=chosen.bigvgan_16k_path,
        need_vae_encoder=False,
    )
    features = features.to("cuda", torch.bfloat16).eval()
    flow = FlowMatching(min_sigma=0, inference_mode="euler", num_steps=STEPS)

    @torch.inference_mode()
    def make(prompt, seed, duration_s):
        lengths = chosen.seq_cfg
        lengths.duration = duration_s
        network.update_seq_lengths(lengths.latent_seq_len)
        clips = generate_fm(
            [prompt],
            negative_text=[""],
            feature_utils=features,
            net=network,
            fm=flow,
            rng=torch.Generator("cuda").manual_seed(seed),
            cfg_strength=GUIDANCE,
        )
        return clips[0].float().cpu().numpy().astype("<f4").tobytes()

    return make


if __name__ == "__main__":
    with open(CHECKPOINT, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    facts = {"weights": CHECKPOINT, "sha256": digest, "steps": STEPS, "guidance": GUIDANCE, "dtype": "bfloat16"}
    serve(load, "fluxaudio-s", sample_rate_hz=16000, channels=1, longest_s=10.0, provenance=facts)
