/** Awaits `call(0 … size - 1)` one after another, around and around, until the time is up. */
export async function loop(call, size, first, until, stride) {
  let next = first
  let operations = 0
  do {
    for (let left = stride; left > 0; left--) {
      await call(next)
      next = next + 1 === size ? 0 : next + 1
    }
    operations += stride
  } while (performance.now() < until)
  return operations
}
