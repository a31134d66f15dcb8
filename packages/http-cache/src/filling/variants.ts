import { hash } from 'node:crypto'
import { RecentMap } from '../storage/hints.ts'
import type { VaryRecord } from '../storage/record.ts'

const maxKeys = 10_000
/** Responses that depend on more headers are hardly ever found again. */
const maxNames = 10

/** What this process knows of the variants of responses. */
export class Variants {
  /** The headers that responses of a key were seen to depend on. */
  readonly #names = new RecentMap<readonly string[]>(maxKeys)
  /** Numbers of the variants that were stored below a record, by its id. Keys may be long: clients send what is in them. */
  readonly #stored = new RecentMap<Set<number>>(maxKeys)

  /** The headers that variants of a key depend on: those of this response, and of earlier ones. */
  union(baseKey: string, names: readonly string[]): readonly string[] {
    const known = this.#names.get(baseKey) ?? []
    const all = [...new Set([...known, ...names])].sort()
    const result = all.length > maxNames ? names : all
    this.#names.set(baseKey, result)
    return result
  }

  /** Whether a record contains the headers that a response depends on. */
  cover(baseKey: string, vary: VaryRecord, names: readonly string[]): boolean {
    if (names.every((name) => vary.names.includes(name))) return true
    this.union(baseKey, [...vary.names, ...names])
    return false
  }

  /** Whether another variant may be stored. */
  admit(generation: string, key: string, maxVariants: number): boolean {
    if (!this.hasRoom(generation, key, maxVariants)) return false
    const stored = this.#stored.get(generation) ?? new Set()
    stored.add(numberOf(key))
    this.#stored.set(generation, stored)
    return true
  }

  /** Whether a variant may be stored. */
  hasRoom(generation: string, key: string, maxVariants: number): boolean {
    const stored = this.#stored.get(generation)
    return stored === undefined || stored.size < maxVariants || stored.has(numberOf(key))
  }
}

/** Two variants with the same number count as one. */
function numberOf(key: string): number {
  return hash('sha256', key, 'buffer').readInt32BE()
}
