import { Cache, CacheError, type CacheOptions, channels } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { isFullTier } from '@stowage/test-servers'
import { ManualClock, referenceStore, type StoredItem } from '@stowage/testing'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { gate, settle } from '../remember/two-processes.ts'

interface User {
  readonly id: number
  readonly name: string
}

/** A cache like those of other processes over the same items. */
function createCache(items: Map<string, StoredItem>, options: CacheOptions = {}): Cache {
  return new Cache(referenceStore({ items, async: true }), options)
}

/** Users in a database, and how often they were loaded. */
class Database {
  readonly users = new Map<number, User>()
  readonly loads: number[] = []

  load = async (id: number): Promise<User | undefined> => {
    this.loads.push(id)
    return this.users.get(id)
  }

  save = async (id: number, user: User): Promise<void> => {
    this.users.set(id, user)
  }

  remove = async (id: number): Promise<boolean> => this.users.delete(id)
}

function setUp() {
  const items = new Map<string, StoredItem>()
  const cache = createCache(items)
  const database = new Database()
  database.users.set(1, { id: 1, name: 'Ada' })
  const users = cache.collection('user', { ...methodsOf(database), ttl: '1m' })
  return { cache, items, database, users }
}

function methodsOf({ load, save, remove }: Database) {
  return { load, save, remove }
}

describe('reads', () => {
  test('loads a missing value once, and none that does not exist', async () => {
    const { users, database, cache } = setUp()
    expect([await users.get(1), await users.get(1)]).toEqual([
      { id: 1, name: 'Ada' },
      { id: 1, name: 'Ada' },
    ])
    expect(database.loads).toEqual([1])
    expect(await users.get(2)).toBeUndefined()
    expect(await cache.get(users.keyOf(1))).toEqual({ id: 1, name: 'Ada' })
    expect(users.keyOf(1)).toBe('user:1')
  })

  test('loads the missing values of several ids with one call', async () => {
    const { cache } = setUp()
    const calls: (readonly number[])[] = []
    const squares = cache.collection('square', {
      load: (id: number) => id ** 2,
      loadMany: (ids) => {
        calls.push(ids)
        return new Map(ids.map((id) => [id, id ** 2]))
      },
    })
    await squares.get(2)
    expect(await squares.getMany([1, 2, 3, 1])).toEqual([1, 4, 9, 1])
    expect(calls).toEqual([[1, 3]])
  })

  test('names the function that loads several values if it returns no list', async () => {
    const { cache } = setUp()
    for (const loaded of [undefined, { 1: 'a' }]) {
      const loadMany = async () => loaded as never
      const letters = cache.collection('letter', { load: (id: number) => `${id}`, loadMany })
      await expect(letters.getMany([1])).rejects.toThrow('collection letter: loadMany must return')
    }
  })

  test('uses load for each id without loadMany', async () => {
    const { users, database } = setUp()
    expect(await users.getMany([1, 2])).toEqual([{ id: 1, name: 'Ada' }, undefined])
    expect(database.loads).toEqual([1, 2])
  })

  test('expire and refresh load again', async () => {
    const { users, database } = setUp()
    await users.get(1)
    database.users.set(1, { id: 1, name: 'Grace' })
    expect(await users.refresh(1)).toEqual({ id: 1, name: 'Grace' })
    expect(await users.expire(1)).toBe(true)
    await users.get(1)
    expect(database.loads).toEqual([1, 1, 1])
  })

  test('a version and the option key are part of the keys', () => {
    const { cache } = setUp()
    const definition = { load: () => 1, key: (id: { a: string }) => id.a }
    expect(cache.collection('c', definition).keyOf({ a: 'x' })).toBe('c:x')
    expect(cache.collection('c', { ...definition, version: 2 }).keyOf({ a: 'x' })).toBe('c:v2:x')
  })

  test('the option key must return a string, because ids would share the key undefined', async () => {
    const { cache } = setUp()
    const key = ({ slug }: { slug?: string }) => slug as string
    const pages = cache.collection('page', { key, load: ({ slug }) => `page ${slug}` })
    const message = 'collection page: the option key must return a string, not undefined.'
    expect(await pages.get({ slug: 'home' })).toBe('page home')
    await expect(pages.get({})).rejects.toThrow(message)
    await expect(pages.getMany([{}])).rejects.toThrow(message)
    expect(() => pages.keyOf({})).toThrow(TypeError)
  })

  test('an id whose text another id may have needs the option key', async () => {
    const { cache } = setUp()
    const prices = cache.collection('price', { load: async (id: unknown) => `price of ${id}` })
    const keys = ['lamp', 1, -1.5, true, 1n].map((id) => prices.keyOf(id))
    expect(keys).toEqual(['price:lamp', 'price:1', 'price:-1.5', 'price:true', 'price:1'])
    for (const id of [{ sku: 'lamp' }, ['a'], new Date(0), Number.NaN, null, undefined, Symbol()]) {
      const message = /collection price: .*Define the option key/
      expect(() => prices.keyOf(id)).toThrow(TypeError)
      for (const call of [prices.get(id), prices.getMany([id]), prices.expire(id)]) {
        await expect(call).rejects.toThrow(message)
      }
    }
    const keyed = cache.collection('price', {
      load: async ({ sku }: { sku: string }) => sku,
      key: ({ sku }) => sku,
    })
    expect([await keyed.get({ sku: 'lamp' }), await keyed.get({ sku: 'desk' })]).toEqual([
      'lamp',
      'desk',
    ])
  })

  test('rejects unknown members', () => {
    const { cache } = setUp()
    const misspelled = { load: () => 1, sav: () => {} }
    expect(() => cache.collection('c', misspelled)).toThrow(/unknown option sav.*save/)
    expect(() => cache.collection('c', {} as never)).toThrow('load must be a function')
  })

  test.each<[object | undefined, string]>([
    [undefined, "collection('user', { load: findUser }), not undefined"],
    [{ key: 'id' }, 'key must be a function'],
    [{ loadMany: [] }, 'loadMany must be a function'],
    [{ save: true }, 'save must be a function'],
    [{ remove: null }, 'remove must be a function'],
    [{ migrate: {} }, 'migrate must be a function'],
    [{ schema: { validate: () => ({}) } }, 'schema must be one of a library with Standard Schema'],
    [{ schema: null }, 'such as zod from 3.24 on, valibot and arktype'],
  ])('names what is wrong in the definition %j', (members, message) => {
    const { cache } = setUp()
    const definition = members && { load: () => 1, ...members }
    expect(() => cache.collection('c', definition as never)).toThrow(message)
  })

  test('names the missing list of ids', async () => {
    const { cache } = setUp()
    const numbers = cache.collection('c', { load: () => 1 })
    await expect(numbers.getMany('1' as never)).rejects.toThrow('getMany needs an array of ids')
  })
})

describe('schema', () => {
  const schema = z.object({ id: z.number(), name: z.string() })

  test('a loaded value that does not fit is an error, and not stored', async () => {
    const { cache } = setUp()
    const load = async (_id: number) => ({ id: 'x', name: 1 }) as unknown as User
    const users = cache.collection('user', { schema, load })
    await expect(users.get(1)).rejects.toMatchObject({ code: 'ERR_CACHE_CODEC' })
    await expect(users.get(1)).rejects.toThrow(/collection user: .*id: .*name: /)
    await expect(users.getMany([1])).rejects.toThrow('does not fit')
    await expect(users.set(1, { id: 1 } as User)).rejects.toThrow('does not fit')
    expect(await cache.get('user:1')).toBeUndefined()
  })

  test('a stored value that does not fit is a miss with an event', async () => {
    const { cache, database } = setUp()
    const users = cache.collection('user', { schema, ...methodsOf(database), ttl: '1m' })
    await cache.set('user:1', { id: 1 })
    const events: unknown[] = []
    const listener = (event: unknown) => events.push(event)
    channels.corrupt.subscribe(listener)
    expect(await users.get(1)).toEqual({ id: 1, name: 'Ada' })
    channels.corrupt.unsubscribe(listener)
    expect(events).toMatchObject([{ key: 'user:1' }])
    expect(await users.get(1)).toEqual({ id: 1, name: 'Ada' })
    expect(database.loads).toEqual([1])
  })

  test('a stored value that does not fit is migrated if possible', async () => {
    const { cache, database } = setUp()
    const migrate = (old: unknown) => {
      const { id, first } = old as { id: number; first?: string }
      return first === undefined ? undefined : { id, name: first }
    }
    const users = cache.collection('user', { schema, migrate, ...methodsOf(database), ttl: '1m' })
    await cache.set('user:1', { id: 1, first: 'Augusta' })
    expect(await users.get(1)).toEqual({ id: 1, name: 'Augusta' })
    expect(database.loads).toEqual([])
    await cache.set('user:1', { id: 1 })
    expect(await users.get(1)).toEqual({ id: 1, name: 'Ada' })
  })

  test('validates a value of a near cache once', async () => {
    let validations = 0
    const counting = schema.refine(() => {
      validations++
      return true
    })
    const cache = createCache(new Map(), { near: {} })
    const users = cache.collection('user', {
      schema: counting,
      load: async (id: number) => ({ id, name: 'Ada' }),
    })
    await users.get(1)
    await users.get(1)
    const before = validations
    for (let i = 0; i < 10; i++) expect(await users.get(1)).toEqual({ id: 1, name: 'Ada' })
    expect(validations).toBe(before)
  })

  test('nobody can change what a near cache returns to others', async () => {
    const cache = createCache(new Map(), { near: {} })
    const load = async (id: number) => ({ id, name: 'Ada' })
    const users = cache.collection('user', { schema, load })
    for (let read = 0; read < 3; read++) {
      const user = (await users.get(1)) as User
      expect(user.name).toBe('Ada')
      Reflect.set(user, 'name', 'Eve')
    }
  })
})

describe('write-through', () => {
  test('saves and stores the value, in three round trips', async () => {
    const { database } = setUp()
    const calls: string[] = []
    const store = wrapStore(referenceStore({ async: true }), (operation, call) => {
      calls.push(operation)
      return call()
    })
    const users = new Cache(store).collection('user', { ...methodsOf(database), ttl: '1m' })
    expect(await users.set(1, { id: 1, name: 'Grace' })).toEqual({ id: 1, name: 'Grace' })
    expect(calls).toEqual(['set', 'compareAndSet'])
    expect(database.users.get(1)).toEqual({ id: 1, name: 'Grace' })
    expect(await users.get(1)).toEqual({ id: 1, name: 'Grace' })
    expect(database.loads).toEqual([])
  })

  test('stores what save returns', async () => {
    const { cache } = setUp()
    const users = cache.collection('user', {
      load: async (id: number) => ({ id, revision: 0 }),
      save: (_id, user) => ({ ...user, revision: 7 }),
    })
    expect(await users.set(1, { id: 1, revision: 0 })).toEqual({ id: 1, revision: 7 })
    expect(await users.get(1)).toEqual({ id: 1, revision: 7 })
  })

  test('a failed save deletes the value and throws', async () => {
    const { cache, database, users } = setUp()
    await users.get(1)
    const failing = cache.collection('user', {
      ...methodsOf(database),
      save: async () => {
        throw new Error('disk full')
      },
    })
    await expect(failing.set(1, { id: 1, name: 'x' })).rejects.toThrow('disk full')
    expect(await cache.get('user:1')).toBeUndefined()
  })

  test('a load that began before the write is not stored', async () => {
    const { items, database, users } = setUp()
    let release = () => {}
    const slow = createCache(items).collection('user', {
      ttl: '1m',
      load: async (id: number) => {
        const read = database.users.get(id)
        await new Promise<void>((resolve) => {
          release = resolve
        })
        return read
      },
    })
    const loading = slow.get(1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    await users.set(1, { id: 1, name: 'Grace' })
    release()
    await loading
    expect(await users.get(1)).toEqual({ id: 1, name: 'Grace' })
  })

  test('a tag that is invalidated during the save makes the value a miss', async () => {
    const { cache, database } = setUp()
    const users = cache.collection('user', {
      load: database.load,
      ttl: '1m',
      tags: ['users'],
      save: async (id, user) => {
        await database.save(id, user)
        await cache.invalidateTags('users')
      },
    })
    await users.set(1, { id: 1, name: 'Grace' })
    expect(await cache.get('user:1')).toBeUndefined()
    await users.set(2, { id: 2, name: 'x' })
  })

  test('save reads its own value before the change, and other readers wait for the new one', async () => {
    const { items, cache, database } = setUp()
    const saving = gate()
    const before: unknown[] = []
    const users = cache.collection('user', {
      ...methodsOf(database),
      ttl: '1m',
      save: async (id, user) => {
        before.push(await users.get(id), await users.getMany([id]), await users.refresh(id))
        await saving.opened
        await database.save(id, user)
      },
    })
    const writing = users.set(1, { id: 1, name: 'Grace' })
    await expect.poll(() => before.length).toBe(3)
    const readers = [users, createCache(items).collection('user', methodsOf(database))]
    const reading = Promise.all(readers.map((each) => each.get(1)))
    saving.open()
    expect(await writing).toEqual({ id: 1, name: 'Grace' })
    const ada = { id: 1, name: 'Ada' }
    expect(before).toEqual([ada, [ada], ada])
    expect(await reading).toEqual(readers.map(() => ({ id: 1, name: 'Grace' })))
  })

  test('saves that read the value of each other end', async () => {
    const { cache, database } = setUp()
    const users = cache.collection('user', {
      ...methodsOf(database),
      save: async (id, user) => {
        await Promise.all([users.get(1), users.get(2), settle()])
        await database.save(id, user)
      },
    })
    await Promise.all([1, 2].map((id) => users.set(id, { id, name: 'new' })))
    expect(await users.getMany([1, 2])).toEqual([1, 2].map((id) => ({ id, name: 'new' })))
  })

  describe('with timers that stand still', () => {
    beforeEach(() => {
      const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] as const
      vi.useFakeTimers({ toFake: [...toFake, 'Date', 'performance'] })
    })
    afterEach(() => void vi.useRealTimers())

    test('save reads its own value after a load that began before it has ended', async () => {
      const { cache, database } = setUp()
      const loads = [gate<User>(), gate<User>()]
      let begun = 0
      const users = cache.collection('user', {
        load: (_id: number) => loads[begun++]?.opened,
        save: async (id, user) => {
          loads[0]?.open({ id: 1, name: 'Ada' })
          await loading
          loads[1]?.open({ id: 1, name: 'Ada' })
          expect(await users.get(id)).toEqual({ id: 1, name: 'Ada' })
          await database.save(id, user)
        },
      })
      const loading = users.get(1)
      await settle()
      expect(await users.set(1, { id: 1, name: 'new' })).toEqual({ id: 1, name: 'new' })
    })

    test('readers wait for a save at most as long as for a load', async () => {
      const { cache, database } = setUp()
      let saves = 0
      const users = cache.collection('user', {
        ...methodsOf(database),
        save: () => new Promise<void>(() => saves++),
      })
      void users.set(1, { id: 1, name: 'never' })
      await settle()
      expect(saves).toBe(1)
      const reading = users.get(1)
      await vi.advanceTimersByTimeAsync(40_000)
      expect(await reading).toEqual({ id: 1, name: 'Ada' })
    })
  })

  test('has the stale window of the definition', async () => {
    const clock = new ManualClock()
    const cache = new Cache(referenceStore({ clock }), { clock })
    let name = 'Ada'
    const users = cache.collection('user', {
      ttl: 1_000,
      staleWhileRevalidate: 1_000,
      load: async (id: number) => ({ id, name: 'loaded' }),
      save: (_id, user) => {
        name = user.name
      },
    })
    await users.set(1, { id: 1, name: 'Grace' })
    await clock.advance(1_500)
    expect(name).toBe('Grace')
    expect(await users.get(1)).toEqual({ id: 1, name: 'Grace' })
    await expect.poll(() => users.get(1)).toEqual({ id: 1, name: 'loaded' })
  })

  test('delete removes the value from both, also if it was loaded meanwhile', async () => {
    const { cache, users, database } = setUp()
    await users.get(1)
    const reading = cache.collection('user', {
      ...methodsOf(database),
      remove: async (id) => {
        await users.get(id)
        database.users.delete(id)
      },
    })
    expect(await reading.delete(1)).toBe(true)
    expect(await users.get(1)).toBeUndefined()
  })

  test('of two writers of 20 keys, the cache and the source are equal in the end', async () => {
    const { items, database } = setUp()
    const pause = async () => {
      for (let turns = Math.floor(Math.random() * 4); turns > 0; turns--)
        await new Promise(setImmediate)
    }
    const createWriter = () =>
      createCache(items).collection('user', {
        ttl: '1m',
        load: async (id: number) => {
          await pause()
          const found = database.users.get(id)
          await pause()
          return found
        },
        save: async (id, user) => {
          await pause()
          database.users.set(id, user)
          await pause()
        },
      })
    const writers = [createWriter(), createWriter()]
    const write = async (id: number, round: number, writer: number) => {
      await pause()
      await writers[writer]?.set(id, { id, name: `${round}.${writer}` })
      await writers[writer]?.get(id)
    }
    const cache = createCache(items)
    const ids = Array.from({ length: 20 }, (_, index) => index + 1)
    const rounds = isFullTier ? 500 : 100
    await Promise.all(
      ids.map(async (id) => {
        for (let round = 0; round < rounds; round++) {
          await Promise.all([write(id, round, 0), write(id, round, 1)])
          const cached = await cache.get<User>(`user:${id}`)
          if (cached !== undefined) expect(cached).toEqual(database.users.get(id))
        }
      }),
    )
    expect(await writers[0]?.getMany(ids)).toEqual(ids.map((id) => database.users.get(id)))
  })
})

test('if the source and the cache fail, set and delete reject with the error of the source', async () => {
  let isDown = false
  const store = wrapStore(referenceStore({ async: true }), (operation, call) => {
    if (isDown) throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'x', operation })
    return call()
  })
  const fail = async (message: string) => {
    isDown = true
    throw new Error(message)
  }
  const users = new Cache(store).collection('user', {
    load: () => 1,
    save: () => fail('duplicate key'),
    remove: () => fail('foreign key'),
  })
  await expect(users.set('1', 2)).rejects.toThrow('duplicate key')
  isDown = false
  await expect(users.delete('1')).rejects.toThrow('foreign key')
})
