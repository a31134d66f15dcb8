import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'vitest'

setFlagsFromString('--expose-gc')
export const collectGarbage: () => void = runInNewContext('gc')

/** Collects until the object is gone: a collection that V8 has begun before keeps what has become garbage since then. */
export async function expectCollected(reference: WeakRef<object>): Promise<void> {
  await expect
    .poll(() => {
      collectGarbage()
      return reference.deref()
    })
    .toBeUndefined()
}
