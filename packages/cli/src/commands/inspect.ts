import type { Cache } from '@stowage/core'
import { type Inspection, inspectKey } from '@stowage/core/tools'
import { sessionKey } from '@stowage/sessions/tools'
import { Context, type SourceOptions } from '../configuration/context.ts'
import type { Output } from '../output/io.ts'
import { duration, list, size } from '../output/layout.ts'
import { printable } from '../output/printable.ts'

export interface InspectOptions extends SourceOptions {
  readonly json?: boolean
  readonly store?: string
  readonly namespace?: string
}

/** Returns the exit code: 1 if nothing is stored under the key. */
export async function inspect(
  key: string,
  options: InspectOptions,
  output: Output,
): Promise<number> {
  return Context.use(options, output, async (context) => {
    context.assertValid()
    const { store, namespace } = options
    const root = context.sharedCache(store)
    const isSession = store === 'session' || context.app.sessions?.cache === root
    const cache = namespace === undefined ? root : root.namespace(namespace)
    // The id of a session is a secret. It is stored, and shown, as a digest.
    const shownKey = isSession ? sessionKey(key) : key
    const inspection = await inspectKey(cache, shownKey)
    if (options.json) output.json(toJson(shownKey, cache, inspection))
    else output.line(toText(shownKey, cache, inspection, output))
    return inspection.state === 'missing' ? 1 : 0
  })
}

function toJson(key: string, cache: Cache, inspection: Inspection) {
  const { ttlMs, bytes, frame, location, freshUntil, state, storageKey, tags, etag } = inspection
  return {
    command: 'inspect',
    key,
    storageKey,
    store: cache.name,
    driver: cache.driver,
    state,
    location: location ?? null,
    ttlMs: ttlMs === undefined || ttlMs === Infinity ? null : ttlMs,
    expires: ttlMs === undefined ? null : ttlMs !== Infinity,
    bytes: bytes ?? null,
    frame: frame ?? null,
    tags,
    freshUntil: dateText(freshUntil) ?? null,
    etag: etag ?? null,
  }
}

const states: Readonly<Record<Inspection['state'], string>> = {
  missing: 'missing',
  fresh: 'fresh',
  stale: 'stale: remember refreshes it',
  invalid: 'invalid: one of its tags was invalidated',
  mark: 'a mark: its value is being loaded, or a load has failed',
  foreign: 'foreign: the codec of this cache cannot decode it, so it is a miss',
}

function toText(key: string, cache: Cache, inspection: Inspection, { colors }: Output): string {
  const { green, yellow } = colors
  const { state, ttlMs, bytes, frame, tags, freshUntil } = inspection
  const color = state === 'fresh' ? green : yellow
  return list([
    ['key', printable(key)],
    ['state', color(states[state])],
    ['store', `${cache.name} (${cache.driver})`],
    ['stored at', inspection.location && printable(inspection.location)],
    ['stored as', inspection.storageKey === key ? undefined : printable(inspection.storageKey)],
    ['ttl', ttlMs === undefined ? undefined : duration(ttlMs)],
    ['size', bytes === undefined ? undefined : size(bytes)],
    ['frame', frame],
    ['fresh until', dateText(freshUntil)],
    [
      'tags',
      tags
        .map(({ name, isCurrent }) =>
          isCurrent ? printable(name) : `${printable(name)} (invalidated)`,
        )
        .join(', '),
    ],
    ['etag', inspection.etag && printable(inspection.etag)],
  ])
}

/** `undefined` also for a time that a `Date` cannot have, as of a ttl of `Number.MAX_SAFE_INTEGER`. */
function dateText(time: number | undefined): string | undefined {
  const date = new Date(time ?? Number.NaN)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}
