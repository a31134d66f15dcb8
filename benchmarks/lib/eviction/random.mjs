/** Random numbers from 0 to 1 that are the same in every run (mulberry32). */
export function generator(seed) {
  let state = seed * 0x9e3779b9
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Returns a function that draws keys: key k with a probability in proportion to 1 / (k + 1) ^ exponent. */
export function zipf(keys, exponent, seed) {
  const random = generator(seed)
  const sums = new Float64Array(keys)
  let sum = 0
  for (let key = 0; key < keys; key++) sums[key] = sum += 1 / (key + 1) ** exponent
  return () => firstAbove(sums, random() * sum)
}

function firstAbove(sums, value) {
  let low = 0
  let high = sums.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sums[middle] > value) high = middle
    else low = middle + 1
  }
  return low
}
