import { fc, type Scenario } from '@stowage/testing/simulation'
import {
  judgeSessions,
  type SessionCall,
  type SessionResult,
  type Versions,
} from './judge-session-token.ts'

/** Copies that lag behind, and tokens that processes pass to each other. */
export const sessionToken: Scenario<SessionCall> = {
  name: 'session-token',
  summary: 'lagging copies: session reads include own writes and those of every token observed',
  traits: fc.record({
    copies: fc.constantFrom(1, 2),
    lagMs: fc.constantFrom(20, 200),
    ordered: fc.constant(true),
  }),
  call: fc.oneof(
    { weight: 3, arbitrary: fc.record({ op: fc.constant('write') }) },
    {
      weight: 6,
      arbitrary: fc.record({
        op: fc.constantFrom('read', 'read', 'read', 'strong read'),
        owner: fc.nat({ max: 2 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constantFrom('share', 'observe') }) },
  ) as unknown as fc.Arbitrary<SessionCall>,
  gapMs: 5,
  faults: ['partition', 'partition-copy', 'restart', 'pause', 'kill'],
  isOwnKey: (key) => key.includes('key-'),
  start({ Cache, prefix, store, clock, name, shared }) {
    const cache = new Cache(store, { prefix, clock })
    let written = 0
    let acknowledged = 0
    /** What this process may have read or observed. */
    let observed: Versions = {}
    const run = async (call: SessionCall): Promise<SessionResult> => {
      switch (call.op) {
        case 'write': {
          const version = ++written
          await cache.set(`key-${name}`, version)
          acknowledged = Math.max(acknowledged, version)
          return { key: `key-${name}`, version }
        }
        case 'read':
        case 'strong read': {
          const key = `key-p${call.owner + 1}`
          const consistency = call.op === 'read' ? 'session' : 'strong'
          return { key, version: await cache.get<number>(key, { consistency }) }
        }
        case 'share': {
          const versions = { ...observed, [`key-${name}`]: acknowledged }
          shared.set('token', { token: await cache.consistencyToken(), versions })
          return {}
        }
        case 'observe': {
          const mail = shared.get('token') as { token: string; versions: Versions } | undefined
          if (mail === undefined) return {}
          cache.observe(mail.token)
          observed = newest(observed, mail.versions)
          return { versions: mail.versions }
        }
      }
    }
    return { run, close: () => cache.close() }
  },
  judge: judgeSessions,
}

/** The higher version of each key. */
export function newest(a: Versions, b: Versions): Versions {
  const all: Record<string, number> = { ...a }
  for (const [key, version] of Object.entries(b)) all[key] = Math.max(all[key] ?? 0, version)
  return all
}
