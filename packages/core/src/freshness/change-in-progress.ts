import type { BackendTime } from '../time/backend-time.ts'
import type { Mark } from '../values/mark.ts'

/**
 * Whether the change of a mark is in progress. It is over if the mark was not renewed, although a `touch` may have extended
 * the expiry of the mark. Without the time of the backend, it counts as one in progress.
 */
export async function isInProgress({ end = Infinity }: Mark, time: BackendTime): Promise<boolean> {
  try {
    return (await time.estimateOrThrow()) < end
  } catch {
    return true
  }
}
