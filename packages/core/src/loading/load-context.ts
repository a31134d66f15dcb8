import type { Entry, EntryFacts } from '../entry.ts'
import { type Duration, type Ttl, wholeMilliseconds } from '../time/duration.ts'
import { randomId } from '../values/random-id.ts'

/** What the loader of `remember` receives. Its functions may be taken from it: `({ skip }) => …`. */
export interface LoadContext<T = unknown> {
  /** The key of the cache. */
  readonly key: string
  /** Aborts if no caller waits any more, after `loadTimeout`, if the key is written meanwhile, and on `close()`. */
  readonly signal: AbortSignal
  /** Whether no caller waits: the stale value was returned already. */
  readonly background: boolean
  /** The stale value, unless it has been invalidated. Pass its validators to the source, as in RFC 9110 section 13. */
  readonly stale: T | undefined
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  /**
   * Returns the value to the callers without storing it. For `for` (default one second), calls load it again without
   * waiting for each other. With `share: false`, other callers load it themselves: for a private value.
   */
  skip(options?: { readonly share?: boolean; readonly for?: Duration }): void
  /** Sets the ttl of the value. */
  setTtl(ttl: Ttl): void
  /** Adds tags that are known only after the load. */
  addTags(...tags: string[]): void
  /** Stores the validators of the value, for the next load. */
  setValidators(validators: { readonly etag?: string; readonly lastModified?: string }): void
  /**
   * Stores another value beside the loaded one, under a key of its own, so that it can be read apart: a large body beside its
   * metadata. Returns that key, which is new for each load. Put it into the loaded value, the only place that knows it: when
   * that is replaced, deleted or invalidated, the part is not read any more, and it expires after it. `clear` deletes
   * both.
   *
   * The part is stored first. If that fails, the loaded value is not stored. Neither is a part whose value is not
   * stored. So treat a missing part as a miss.
   *
   * @param name tells the parts of a value apart, for example `'body'`
   * @throws TypeError for `undefined`
   * @example
   * const render = async () => ({ status: 200, html: '<main>…</main>' })
   * const page = await cache.remember('page', { ttl: '1m' }, async (context) => {
   *   const { status, html } = await render()
   *   return { status, body: context.addPart('body', html) }
   * })
   * console.log(page.status, await cache.get(page.body))
   */
  addPart(name: string, value: unknown): string
  /**
   * Returns the stale value, which becomes fresh again, with its tags, validators and parts.
   *
   * @throws Error if `stale` is undefined
   */
  notModified(): T
}

/** What the loader of `rememberMany` receives. */
export interface LoadManyContext<T = unknown> {
  /** Aborts when it has aborted for every key, for the reasons given at {@link LoadContext.signal}. */
  readonly signal: AbortSignal
  /** Whether no caller waits: the stale values were returned already. */
  readonly background: boolean
  /**
   * Returns the context of one of the missing keys: its stale value and validators, and the methods that determine how
   * its value is stored.
   *
   * @throws TypeError if the key is not missing
   */
  of(key: string): LoadContext<T>
}

/** A value that a loader stores beside the loaded one. */
export interface Part {
  /** The key of the cache under which it is read. */
  readonly name: string
  readonly value: unknown
}

const defaultSkipMs = 1_000

/** The context of a load, which records how the loader wants its value to be stored. */
export class RecordingContext<T> implements LoadContext<T> {
  readonly key: string
  readonly background: boolean
  /** For how long the value is not stored, if it is not. */
  skipMs: number | undefined
  isPrivate = false
  ttl: Ttl | undefined
  readonly lateTags: string[] = []
  validators: Pick<EntryFacts, 'etag' | 'lastModified'> = {}
  /** The values that are stored beside the loaded one. */
  readonly parts: Part[] = []
  /** The names of the parts that already exist and remain, because the value has not been modified. */
  keptParts: readonly string[] = []
  readonly #stale: Entry | undefined
  /** Created only for loaders that use the signal: it takes longer than the rest. */
  #controller: AbortController | undefined
  #aborted: { readonly reason: unknown } | undefined

  constructor(key: string, background: boolean, stale: Entry | undefined) {
    this.key = key
    this.background = background
    this.#stale = stale
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason)
    }
    return this.#controller.signal
  }

  /** Aborts the signal. Only the first reason counts. */
  abort(reason: unknown): void {
    this.#aborted ??= { reason }
    this.#controller?.abort(reason)
  }

  get stale(): T | undefined {
    return this.#stale?.value as T | undefined
  }

  get etag(): string | undefined {
    return this.#stale?.facts?.etag
  }

  get lastModified(): string | undefined {
    return this.#stale?.facts?.lastModified
  }

  // Getters, so that a loader may take the functions from its context: ({ skip }) => … Most loaders use none, and functions that
  // each context has would add to the cost of every load.

  get skip(): LoadContext<T>['skip'] {
    return ({ share = true, for: duration = defaultSkipMs } = {}) => {
      this.skipMs = wholeMilliseconds(duration)
      this.isPrivate = !share
    }
  }

  get setTtl(): LoadContext<T>['setTtl'] {
    return (ttl) => {
      this.ttl = ttl
    }
  }

  get addTags(): LoadContext<T>['addTags'] {
    return (...tags) => {
      this.lateTags.push(...tags)
    }
  }

  get setValidators(): LoadContext<T>['setValidators'] {
    return ({ etag, lastModified }) => {
      this.validators = {
        ...(etag !== undefined && { etag }),
        ...(lastModified !== undefined && { lastModified }),
      }
    }
  }

  get addPart(): LoadContext<T>['addPart'] {
    return (name, value) => {
      if (value === undefined) {
        throw new TypeError('addPart: undefined cannot be cached because it means a miss.')
      }
      const key = `${this.key}:${name}:${randomId(8)}`
      this.parts.push({ name: key, value })
      return key
    }
  }

  get notModified(): LoadContext<T>['notModified'] {
    return () => {
      const stale = this.#stale
      if (stale === undefined) {
        throw new Error(
          'notModified() needs a stale value. Load the value if context.stale is undefined.',
        )
      }
      const { etag, lastModified } = stale.facts ?? {}
      this.setValidators({ ...(etag && { etag }), ...(lastModified && { lastModified }) })
      this.addTags(...Object.keys(stale.facts?.tags ?? {}))
      this.keptParts = stale.facts?.parts ?? []
      return stale.value as T
    }
  }
}
