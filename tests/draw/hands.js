/**
 * Five ways to write each digit, as one finds them among people.
 *
 * A hand is written as a text: strokes, with " / " between them, of lines and curves through points
 * `x,y`, in hundredths of the box around the digit, and of arcs of an ellipse: its middle, its radii,
 * and the angles where it begins and ends, in degrees, clockwise from the right.
 */

const HANDS = [
  {
    oval: "arc 50,50 34,50 -90,-450",
    "round, from the right, overlapping": "arc 50,50 48,50 -20,-400",
    narrow: "arc 50,50 20,50 -70,-425",
    "open at the top": "arc 50,50 36,50 -115,-410",
    "egg with a curl": "curve 62,5 40,2 16,30 15,70 42,100 75,85 85,50 75,18 50,3 38,16 50,26",
  },
  {
    stroke: "line 50,0 50,100",
    "slanted stroke": "line 68,0 36,100",
    "short flag": "line 36,16 55,0 54,100",
    "flag and foot": "line 32,20 52,0 52,100 / line 25,100 80,99",
    "long flag": "line 15,42 55,0 56,100",
  },
  {
    swan: "curve 18,25 30,6 55,0 78,13 76,36 50,66 16,97 line 85,97",
    loop: "curve 20,20 42,0 70,8 75,32 52,66 24,93 12,90 20,78 38,85 60,97 88,90",
    angular: "line 15,12 60,2 80,20 74,40 12,98 90,95",
    "wide and flat": "curve 5,30 25,5 60,2 85,20 72,50 40,75 2,98 line 105,96",
    "wavy foot": "curve 25,22 45,2 75,10 72,38 45,70 20,95 curve 20,95 40,86 62,97 90,88",
  },
  {
    "two bows": "curve 20,12 45,0 72,12 68,36 42,47 curve 42,47 72,56 80,78 55,99 20,90",
    "flat top": "line 18,2 76,2 42,40 curve 42,40 74,50 80,76 52,100 18,90",
    "loop in the middle": "curve 20,14 50,0 74,18 55,42 38,50 30,44 42,42 70,55 78,80 50,100 16,86",
    "large belly": "curve 30,10 50,0 66,12 60,28 44,34 curve 44,34 76,42 88,70 60,100 12,90",
    angular: "line 20,5 72,10 68,30 36,48 76,58 74,86 20,98",
  },
  {
    open: "line 25,0 14,55 86,53 / line 68,5 64,100",
    "closed, one stroke": "line 66,100 68,0 8,64 92,64",
    "closed, two strokes": "line 62,0 10,60 95,60 / line 62,0 62,100",
    "open, rounded": "curve 20,2 16,30 28,50 55,50 76,38 line 78,38 / line 82,2 72,100",
    "open, leg short": "line 50,0 8,66 95,62 / line 66,36 60,100",
  },
  {
    "bar apart": "line 28,2 22,42 curve 22,42 50,36 78,52 76,82 48,100 15,90 / line 28,2 82,2",
    "one stroke": "line 80,2 30,2 24,44 curve 24,44 55,38 80,60 70,90 40,100 14,88",
    "like an S": "curve 80,6 50,0 24,14 26,38 55,48 78,66 68,92 40,100 15,90",
    "wide bar, small belly":
      "line 25,3 24,50 curve 24,50 48,46 62,64 52,90 20,98 / line 25,3 100,0",
    "large belly": "line 75,0 34,3 22,34 curve 22,34 60,28 92,55 78,93 40,102 8,86",
  },
  {
    curved: "curve 68,2 40,16 20,50 20,80 45,100 76,86 74,62 50,52 24,68",
    "straight stem": "line 62,0 24,62 curve 24,62 22,85 45,100 70,88 70,66 48,56 25,70",
    "large loop": "curve 58,0 28,25 12,65 30,98 70,98 90,70 70,42 36,45 14,68",
    spiral: "curve 70,8 50,0 25,22 14,60 28,94 62,100 82,78 68,55 42,60 38,78 55,82",
    "small loop": "curve 55,0 35,30 25,70 35,97 55,97 62,80 48,70 28,80",
  },
  {
    plain: "line 15,4 85,2 42,100",
    "with a bar": "line 15,5 85,2 45,100 / line 30,50 85,48",
    hook: "line 14,22 16,3 84,5 50,100",
    curved: "line 12,5 85,4 curve 85,4 60,38 46,70 44,100",
    "bar and hook": "line 12,20 16,4 88,2 40,100 / line 30,54 80,50",
  },
  {
    "one stroke": "curve 72,12 50,0 28,14 34,36 60,52 78,76 50,100 22,78 38,52 66,34 72,12",
    "two circles": "arc 50,24 26,24 -60,-425 / arc 50,74 32,27 -90,-455",
    wide: "arc 50,25 38,25 -90,-450 / arc 50,75 45,26 -90,-450",
    "open at the top": "curve 74,6 46,2 26,20 42,42 70,62 70,90 42,100 20,82 36,56 62,38 84,12",
    "small head": "arc 52,17 17,17 90,-275 / arc 50,67 34,33 -90,-450",
  },
  {
    "straight leg": "arc 46,28 30,28 -20,-380 line 76,10 72,100",
    "curved leg": "arc 48,27 30,27 0,-360 curve 78,27 78,60 62,92 30,98",
    "slanted leg": "arc 50,25 30,25 -10,-370 line 80,20 46,100",
    "open head": "curve 78,12 50,0 22,20 30,46 58,46 78,20 line 80,12 78,100",
    "hook below": "arc 46,25 30,25 -30,-390 curve 76,12 78,50 76,86 50,100 22,88",
  },
];

/** Return `[name, strokes]` of every hand of a digit; a stroke is a list of points from 0 to 1. */
export function hands(digit) {
  return Object.entries(HANDS[digit]).map(([name, text]) => {
    const strokes = text.split(" / ").map((stroke) => {
      const pieces = stroke.matchAll(/(line|curve|arc)((?: -?\d+,-?\d+)+)/g);
      return [...pieces].flatMap(([, kind, numbers]) => {
        const points = numbers.trim().split(" ");
        const pairs = points.map((pair) => pair.split(",").map((number) => number / 100));
        return { line: () => pairs, curve: () => curve(pairs), arc: () => arc(pairs) }[kind]();
      });
    });
    return [name, strokes];
  });
}

/** Return the points of a smooth curve through `points`, a spline of Catmull and Rom. */
function curve(points) {
  const at = (n, axis) => points[Math.min(Math.max(n, 0), points.length - 1)][axis];
  const between = (n, t, axis) => {
    const [a, b, c, d] = [n - 1, n, n + 1, n + 2].map((each) => at(each, axis));
    return b + (t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * b - a - 3 * c + d)))) / 2;
  };
  return Array.from({ length: 8 * (points.length - 1) + 1 }, (_, i) => {
    const n = Math.floor(i / 8);
    return [0, 1].map((axis) => between(n, i / 8 - n, axis));
  });
}

function arc([[x, y], [rx, ry], [from, to]]) {
  return Array.from({ length: 41 }, (_, i) => {
    const angle = ((100 * from + (100 * (to - from) * i) / 40) * Math.PI) / 180;
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)];
  });
}
