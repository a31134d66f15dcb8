import { createHook } from 'node:async_hooks'

/** Returns how many promises are created until the call has returned its own. */
export async function promisesOf(call: () => Promise<unknown>): Promise<number> {
  let count = 0
  const hook = createHook({
    init: (_, type) => {
      if (type === 'PROMISE') count++
    },
  })
  hook.enable()
  const result = call()
  hook.disable()
  await result
  return count
}
