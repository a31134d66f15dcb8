import {
  asIs,
  type CachesFromEnvOptions,
  ConfigError,
  cachesFromEnv,
  compressed,
  DriverRegistry,
  encrypted,
  json,
  type Role,
  structured,
} from '@stowage/core'
import type { Variables } from '@stowage/core/driver'
import { toBytes } from '@stowage/core/driver'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const registry = new DriverRegistry({ memory: () => import('@stowage/memory') })
const secret = (byte: number) => Buffer.alloc(32, byte).toString('base64')
const large = 'x'.repeat(3_000)

/** Stores a value in both caches. Returns their payloads. */
async function payloadsFor(
  variables: Variables,
  value: unknown,
  options: CachesFromEnvOptions = {},
): Promise<Record<Role, Buffer>> {
  const store = new ReferenceStore()
  const caches = await cachesFromEnv({ ...variables, CACHE_STORE: 'here' }, registry, {
    ...options,
    stores: { here: () => store },
  })
  const payloadOf = async (role: Role) => {
    await caches.use(role).set('k', value)
    return toBytes(store.items.get(`${role}:k`)?.bytes ?? '')
  }
  return { cache: await payloadOf('cache'), session: await payloadOf('session') }
}

async function problemsOf(variables: Variables): Promise<ConfigError> {
  const error = await cachesFromEnv(variables, registry).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ConfigError)
  return error as ConfigError
}

describe('the environment selects', () => {
  test('json() if no variable is set', async () => {
    const { cache, session } = await payloadsFor({}, large)
    expect([cache, session]).toEqual(Array(2).fill(toBytes(`"${large}"`)))
  })

  test('a codec by name, for sessions too unless they have their own', async () => {
    const both = await payloadsFor({ CACHE_CODEC: 'structured' }, 1n)
    expect(structured().decode(both.session, '')).toEqual({ value: 1n })
    const own = { CACHE_CODEC: 'structured', SESSION_CODEC: 'json' }
    await expect(payloadsFor(own, 1n)).rejects.toMatchObject({ code: 'ERR_CACHE_CODEC' })
    expect((await payloadsFor(own, 1)).session.toString()).toBe('1')
  })

  test('a codec of the application by name', async () => {
    const codecs = { text: () => asIs({ returns: 'text' }) }
    const { cache } = await payloadsFor({ CACHE_CODEC: 'text' }, 'plain', { codecs })
    expect(cache.toString()).toBe('plain')
  })

  test('compression', async () => {
    const { cache, session } = await payloadsFor(
      { CACHE_COMPRESS_FROM: '3000', SESSION_COMPRESS_FROM: '3003' },
      large,
    )
    expect(compressed(json()).decode(cache, '')).toEqual({ value: large })
    expect(cache.length).toBeLessThan(100)
    expect(session.length).toBe(3_002)
  })

  test('encryption, for sessions too unless they have their own keys', async () => {
    const [a, b] = [`a:${secret(1)}`, `b:${secret(2)}`]
    const { cache, session } = await payloadsFor(
      { CACHE_ENCRYPTION_KEYS: `${b}, ${a}`, SESSION_ENCRYPTION_KEYS: a },
      'value',
    )
    expect(encrypted(json(), { keys: [b] }).decode(cache, 'cache:k')).toEqual({ value: 'value' })
    expect(encrypted(json(), { keys: [a] }).decode(session, 'session:k')).toEqual({
      value: 'value',
    })
    const shared = await payloadsFor({ CACHE_ENCRYPTION_KEYS: a }, 'value')
    expect(encrypted(json(), { keys: [a] }).decode(shared.session, 'session:k')).toBeDefined()
  })

  test('all of them, compressed before it is encrypted', async () => {
    const keys = `a:${secret(1)}`
    const { cache } = await payloadsFor(
      { CACHE_CODEC: 'structured', CACHE_COMPRESS_FROM: '1', CACHE_ENCRYPTION_KEYS: keys },
      [large, 1n],
    )
    expect(cache.length).toBeLessThan(200)
    const codec = encrypted(compressed(structured()), { keys: [keys] })
    expect(codec.decode(cache, 'cache:k')).toEqual({ value: [large, 1n] })
  })
})

describe('problems', () => {
  test('name the variable that was read, once', async () => {
    const { problems } = await problemsOf({
      CACHE_CODEC: 'xml',
      CACHE_COMPRESS_FROM: '1k',
      SESSION_COMPRESS_FROM: '-1',
      CACHE_ENCRYPTION_KEYS: 'x',
    })
    expect(problems.map(({ variable }) => variable).sort()).toEqual([
      'CACHE_CODEC',
      'CACHE_COMPRESS_FROM',
      'CACHE_ENCRYPTION_KEYS',
      'SESSION_COMPRESS_FROM',
    ])
    expect(problems[0]?.remedy).toMatch(/one of json, structured/)
  })

  test.each(['hunter2', 'a:hunter2', `a:${secret(1)},b:hunter2`, `hunter2${secret(1)}`, ','])(
    'with keys never contain a part of them: %s',
    async (keys) => {
      for (const variable of ['CACHE_ENCRYPTION_KEYS', 'SESSION_ENCRYPTION_KEYS']) {
        const error = await problemsOf({ [variable]: keys })
        const shown = `${error.message}${JSON.stringify(error)}${String(error.stack)}`
        expect(shown).toMatch(/_ENCRYPTION_KEYS=\*\*\*: Encryption key \d of \d is not/)
        for (const part of ['hunter2', secret(1)]) expect(shown).not.toContain(part)
      }
    },
  )
})
