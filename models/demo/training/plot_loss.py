"""Draws loss.csv as an SVG picture, without any library.

usage: python3 plot_loss.py [--csv ../loss.csv] [--out ../loss.svg]
"""

import argparse
import csv
import math

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 64, 20, 44, 52


def read(path):
    """Returns ((tokens, loss) of training, (tokens, loss) held out, minutes)."""
    with open(path, encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    training = [(int(l["tokens"]), float(l["training_loss"])) for l in lines]
    held_out = [(int(l["tokens"]), float(l["held_out_loss"])) for l in lines if l["held_out_loss"]]
    return training, held_out, float(lines[-1]["minutes"])


def draw(training, held_out, minutes):
    most = training[-1][0]
    low = min(v for _, v in training + held_out) * 0.9
    high = max(v for _, v in training + held_out)

    def x(tokens):
        return LEFT + (WIDTH - LEFT - RIGHT) * tokens / most

    def y(loss):                    # logarithmic: most of the fall is in the first minutes
        return TOP + (HEIGHT - TOP - BOTTOM) * (math.log(high) - math.log(loss)) / (math.log(high) - math.log(low))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             f'<text x="{LEFT}" y="24" font-size="15">Loss per token (nats) of the demo model, {minutes:.0f} minutes on one CPU thread</text>']
    for loss in (0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3, 4, 6):
        if low <= loss <= high:
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#dddddd"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:g}</text>')
    step = next(s for s in (1, 2, 5, 10, 20) if most / 1e6 / s <= 8)
    for million in range(0, int(most / 1e6) + 1, step):
        parts.append(f'<text x="{x(million * 1e6):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{million}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">million tokens seen</text>')
    parts.append(f'<polyline fill="none" stroke="#3b6fb6" stroke-width="1.5" points="{" ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in training)}"/>')
    parts += [f'<circle cx="{x(t):.1f}" cy="{y(v):.1f}" r="3.5" fill="#d1662b"/>' for t, v in held_out]
    parts.append(f'<text x="{WIDTH - RIGHT - 8}" y="{TOP + 18}" text-anchor="end" fill="#3b6fb6">training (running mean)</text>')
    parts.append(f'<text x="{WIDTH - RIGHT - 8}" y="{TOP + 36}" text-anchor="end" fill="#d1662b">held out: {held_out[-1][1]:.3f} at the end</text>')
    return "\n".join(parts + ["</svg>", ""])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", default="../loss.csv")
    parser.add_argument("--out", default="../loss.svg")
    options = parser.parse_args()
    with open(options.out, "w", encoding="utf-8") as out:
        out.write(draw(*read(options.csv)))
