import { answerWithin } from '../../calls/deadline.ts'
import { CacheError } from '../../errors.ts'
import type { ByteStore } from '../../store.ts'
import { isOutage } from './outage-error.ts'

const sampleSize = 10

/**
 * Returns why a store does not reply, or `undefined` if it does: to a ping, or to most of a few reads, because the
 * other nodes stay in use when one of several is down.
 *
 * @param share of reads that have to fail
 * @param ms how long to wait for the reply to the ping
 */
export async function probe(store: ByteStore, share: number, ms: number): Promise<unknown> {
  let isLate = false
  const onTimeout = () => {
    isLate = true
    const message = `${store.name} ping failed: no reply within ${ms} ms.`
    return new CacheError('ERR_CACHE_TIMEOUT', message, { store: store.name, operation: 'ping' })
  }
  try {
    await answerWithin(ms, ping(store), onTimeout)
    return undefined
  } catch (error) {
    // The next probe must not be delayed, because processes have to notice a return at about the same time.
    if (isLate) return error
    return isOutage(error) && !(await mostReadsSucceed(store, share)) ? error : undefined
  }
}

async function ping(store: ByteStore): Promise<void> {
  return store.ping()
}

async function mostReadsSucceed(store: ByteStore, share: number): Promise<boolean> {
  const reads = Array.from({ length: sampleSize }, async (_, index) => store.get(`~probe:${index}`))
  const outcomes = await Promise.allSettled(reads)
  const failed = outcomes.filter(({ status }) => status === 'rejected')
  return failed.length < sampleSize * share
}
