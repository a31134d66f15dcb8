import { redis as redisStore, redisTracking } from '@stowage/redis'
import { cacheContestant } from './cache.mjs'

export const frozen = (address) => nearContestant(address, 'frozen')
export const copied = (address) => nearContestant(address, 'copied')

/** Behind a near cache that Redis notifies of changes. */
function nearContestant({ url }, values) {
  const bus = redisTracking({ url })
  const cache = cacheContestant(redisStore({ url }), { near: { bus, values } })
  const close = async () => {
    await cache.close()
    await bus.close()
  }
  return { ...cache, close }
}
