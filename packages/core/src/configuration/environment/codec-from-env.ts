import { CacheError } from '../../errors.ts'
import type { Codec } from '../../values/codec.ts'
import { compressed } from '../../values/codecs/compressed.ts'
import { encrypted } from '../../values/codecs/encrypted.ts'
import { json } from '../../values/codecs/json.ts'
import { structured } from '../../values/codecs/structured.ts'
import type { Env } from '../env.ts'

/** Codecs by the name that selects them in `CACHE_CODEC`. */
export type Codecs = Readonly<Record<string, () => Codec>>

const builtIn: Codecs = { json, structured }

/**
 * Returns the codec of a role, compressed and encrypted as its variables say. `undefined` if none is set, or after a
 * problem. `variable` returns the variable that applies to the role.
 */
export function codecFromEnv(
  env: Env,
  variable: (name: 'CODEC' | 'COMPRESS_FROM' | 'ENCRYPTION_KEYS') => string,
  codecs: Codecs,
): Codec | undefined {
  const known = { ...builtIn, ...codecs }
  const name = env.choice(variable('CODEC'), Object.keys(known))
  const from = env.integer(variable('COMPRESS_FROM'))
  const keys = env.text(variable('ENCRYPTION_KEYS'))
  if (name === undefined && from === undefined && keys === undefined) return undefined
  const codec = name === undefined ? json() : (known[name] as () => Codec)()
  const smaller = from === undefined ? codec : compressed(codec, { from })
  return keys === undefined ? smaller : encryptedFromEnv(env, variable('ENCRYPTION_KEYS'), smaller)
}

function encryptedFromEnv(env: Env, variable: string, inner: Codec): Codec | undefined {
  const keys =
    env
      .text(variable)
      ?.split(',')
      .map((key) => key.trim()) ?? []
  try {
    return encrypted(inner, { keys })
  } catch (error) {
    if (!CacheError.is(error)) throw error
    env.problem(variable, error.message)
    return undefined
  }
}
