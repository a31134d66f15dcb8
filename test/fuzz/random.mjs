/** A random integer from 0 up to, but not including, `end`. @param {number} end */
export function random(end) {
  return Math.floor(Math.random() * end)
}
