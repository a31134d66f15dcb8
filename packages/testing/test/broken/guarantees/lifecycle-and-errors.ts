import { lookup } from 'node:dns'
import { connect } from 'node:net'
import { CacheError, type Payload } from '@stowage/core'
import { BatchError, toText } from '@stowage/core/driver'
import {
  type BaseStore,
  type BrokenStores,
  fail,
  later,
  type Mutation,
  nextTurn,
  smallValues,
  withHits,
  withRejection,
} from '../mutation.ts'

const place = { store: 'reference', operation: 'increment' }

/** A `set` that merges the calls of a tick, which then share one outcome. */
function mergedSets(store: BaseStore) {
  let pending: [string, Payload][] = []
  let result: Promise<void> | undefined
  return (key: string, payload: Payload, ttl?: number) => {
    pending.push([key, payload])
    result ??= Promise.resolve().then(() => {
      const entries = pending
      pending = []
      result = undefined
      store.setMany(entries, ttl)
    })
    return result
  }
}

type Outcomes = readonly PromiseSettledResult<unknown>[]

/** A `setMany` that stores what it can, and changes the outcomes of its `BatchError`. */
function withBatchErrors(change: (outcomes: Outcomes) => Outcomes): Mutation {
  return (store) => ({
    setMany: async (entries, ttl) => {
      const outcomes = await Promise.allSettled(
        entries.map(async ([key, payload]) => store.set(key, payload, ttl)),
      )
      if (outcomes.some(({ status }) => status === 'rejected')) {
        throw new BatchError(change(outcomes))
      }
    },
  })
}

export const lifecycleAndErrors: BrokenStores = {
  'ping always fails': ['lifecycle', () => ({ ping: () => fail('unreachable') })],
  'a second close fails': [
    'lifecycle',
    (store) => {
      let isClosed = false
      return {
        close: async () => {
          if (isClosed) throw new CacheError('ERR_CACHE_CLOSED', 'closed', { store: 'reference' })
          isClosed = true
          await store.close()
        },
      }
    },
  ],
  'close does nothing': ['lifecycle', () => ({ close: async () => {} })],
  'get succeeds after close': [
    'lifecycle',
    (store) => ({ get: (key) => store.items.get(key)?.bytes }),
  ],
  'ping succeeds after close': ['lifecycle', () => ({ ping: () => {} })],
  'an empty batch succeeds after close': [
    'lifecycle',
    (store) => ({ getMany: (keys) => (keys.length ? store.getMany(keys) : []) }),
  ],
  'close does not wait for calls in flight': [
    'lifecycle',
    (store) => ({
      set: async (key, payload, ttl) => {
        await nextTurn()
        store.set(key, payload, ttl)
      },
    }),
  ],
  'close resolves before the calls in flight': [
    'lifecycle',
    (store) => ({
      get: async (key) => {
        const found = store.get(key)
        await later(nextTurn)
        return found
      },
    }),
  ],
  'a second close does not wait for the first': [
    'lifecycle',
    (store) => {
      let closing: Promise<void> | undefined
      const inFlight = new Set<Promise<unknown>>()
      return {
        get: (key) => {
          const found = store.get(key)
          const result = later(() => found)
          inFlight.add(result)
          return result
        },
        close: async () => {
          if (closing !== undefined) return
          closing = Promise.all(inFlight).then(() => store.close())
          await closing
        },
      }
    },
  ],
  'the constructor connects': [
    'lifecycle',
    () => {
      connect({ port: 1, host: '127.0.0.1' }).on('error', () => {})
      return {}
    },
  ],
  'the constructor looks up a name some time later': [
    'lifecycle',
    () => {
      setImmediate(() => lookup('localhost', () => {}))
      return {}
    },
  ],
  'disposing does not close': ['lifecycle', () => ({ [Symbol.asyncDispose]: async () => {} })],
  'disposing twice fails': [
    'lifecycle',
    (store) => {
      let isDisposed = false
      return {
        [Symbol.asyncDispose]: async () => {
          if (isDisposed) fail('disposed')
          isDisposed = true
          await store.close()
        },
      }
    },
  ],
  'a set fails with the other sets of its tick': [
    'errors',
    (store) => {
      const sets = mergedSets(store)
      return { set: (key, payload, ttl) => sets(key, payload, ttl) }
    },
    smallValues,
  ],
  'a rejected increment has the key of another one': [
    'errors',
    (store) => {
      let firstKey: string | undefined
      return {
        increment: (key, by, ttl) => {
          firstKey ??= key
          setImmediate(() => {
            firstKey = undefined
          })
          try {
            return store.increment(key, by, ttl)
          } catch {
            throw new CacheError('ERR_CACHE_REJECTED', 'not a counter', { ...place, key: firstKey })
          }
        },
      }
    },
  ],
  'a failed increment fails the increments behind it': [
    'errors',
    (store) => {
      let failure: unknown
      return {
        increment: (key, by, ttl) => {
          if (failure !== undefined) throw failure
          try {
            return store.increment(key, by, ttl)
          } catch (error) {
            failure = error
            setImmediate(() => {
              failure = undefined
            })
            throw error
          }
        },
      }
    },
  ],
  'a BatchError has the outcomes of failed entries only': [
    'errors',
    withBatchErrors((outcomes) => outcomes.filter(({ status }) => status === 'rejected')),
    smallValues,
  ],
  'a BatchError reports failed entries as stored': [
    'errors',
    withBatchErrors((outcomes) =>
      outcomes.map((outcome, index) => (index === 0 ? outcome : (outcomes[2] as typeof outcome))),
    ),
    smallValues,
  ],
  'a call after close fails with a plain Error': [
    'lifecycle',
    (store) => ({
      touch: (key, ttl) => {
        try {
          return store.touch(key, ttl)
        } catch {
          return fail('closed')
        }
      },
    }),
  ],
  'the message of an error reveals the key': [
    'errors',
    withRejection((_error, key) => {
      throw new CacheError('ERR_CACHE_REJECTED', `${key} is not a counter`, { ...place, key })
    }),
  ],
  'the cause of an error reveals the key': [
    'errors',
    withRejection((_error, key) => {
      const cause = new Error(`INCRBY ${key} failed`)
      throw new CacheError('ERR_CACHE_REJECTED', 'not a counter', { ...place, cause })
    }),
  ],
  'an error does not name the store and the operation': [
    'errors',
    withRejection(() => {
      throw new CacheError('ERR_CACHE_REJECTED', 'not a counter')
    }),
  ],
  'compareAndSet always returns true': [
    'facade',
    (store) => ({
      compareAndSet: (key, expected, next) =>
        next === undefined ? true : store.compareAndSet(key, expected, next) || true,
    }),
  ],
  'set ignores the ttl': ['ttl', (store) => ({ set: (key, payload) => store.set(key, payload) })],
  'compareAndSet ignores the ttl (remember)': [
    'remember',
    (store) => ({
      compareAndSet: (key, expected, next) => store.compareAndSet(key, expected, next),
    }),
  ],
  'get and getMany fail for items that are not JSON': [
    'corrupt',
    withHits((found) => JSON.stringify(JSON.parse(toText(found)))),
  ],
  'compareAndSet compares text': [
    'codecs',
    (store) => ({
      compareAndSet: (key, expected, ...rest) =>
        store.compareAndSet(key, toText(expected), ...rest),
    }),
  ],
  'get and getMany decode bytes as UTF-8': ['codecs', withHits(toText)],
}
