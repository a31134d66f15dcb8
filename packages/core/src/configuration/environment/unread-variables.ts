import type { ConfigProblem } from '../../errors.ts'
import { nearestName } from '../../options/check-options.ts'
import { maskSecrets, type Variables } from '../env.ts'

/** If such a variable is misspelt and no other one is set, the application silently runs on the default driver. */
const selectsBackend = /^(CACHE|SESSION)_(?:DRIVER|STORE)$/

/** A variable that is set and not read, although its name resembles one that is. */
export interface UnreadVariable {
  readonly variable: string
  /** The variable that is read instead. */
  readonly replacement: string
  /** `'misspelt'`: the names are similar. `'foreign'`: another framework reads it. */
  readonly kind: 'misspelt' | 'foreign'
}

/** Which variables were read, and which others have similar names. */
export class VariableReads {
  /** The variables, for their readers. */
  readonly variables: Variables
  readonly #all: Variables
  readonly #read = new Set<string>()
  /** Variables of other frameworks, and the one that replaces each. */
  readonly #foreign = new Map<string, string>()

  /** @param known names that others read */
  constructor(variables: Variables, known: readonly string[] = []) {
    for (const name of known) this.#read.add(name)
    this.#all = variables
    this.variables = new Proxy(variables, {
      get: (target, name: string) => {
        this.#read.add(name)
        return target[name]
      },
    })
  }

  addForeign(names: Readonly<Record<string, string>> = {}): void {
    for (const [name, replacement] of Object.entries(names)) this.#foreign.set(name, replacement)
  }

  /** The misspelt variables that should select a driver or store, if nothing else selects it. */
  problems(): ConfigProblem[] {
    return this.#misspelt()
      .filter(([, nearest]) => this.#selects(nearest))
      .map(([variable, nearest]) => ({
        variable,
        value: maskSecrets(variable, this.#all[variable] ?? ''),
        remedy: `is not read. Did you mean ${nearest}?`,
        code: 'misspelt',
      }))
  }

  /** A text about the other variables that are not read; `undefined` if there are none. Contains no values. */
  warning(): string | undefined {
    const names = this.unread().map(({ variable, replacement, kind }) =>
      kind === 'misspelt'
        ? `${variable} (did you mean ${replacement}?)`
        : `${variable} (use ${replacement})`,
    )
    return names.length === 0 ? undefined : `Stowage does not read ${names.join(', ')}.`
  }

  /** The other variables that are not read: those that {@link problems} does not contain. */
  unread(): UnreadVariable[] {
    const misspelt = this.#misspelt()
      .filter(([, nearest]) => !this.#selects(nearest))
      .map(([variable, replacement]) => ({ variable, replacement, kind: 'misspelt' as const }))
    const foreign = [...this.#foreign]
      .filter(([variable, replacement]) => this.#isIgnored(variable) && !this.#isSet(replacement))
      .map(([variable, replacement]) => ({ variable, replacement, kind: 'foreign' as const }))
    return [...misspelt, ...foreign]
  }

  /** The variables that are set and were read. */
  used(): string[] {
    return [...this.#read].filter((name) => this.#isSet(name))
  }

  #misspelt(): [name: string, nearest: string][] {
    return Object.keys(this.#all).flatMap((name) => {
      if (!this.#isIgnored(name) || this.#foreign.has(name)) return []
      // Most variables are not related, so only those with a similar name are compared.
      const similar = [...this.#read].filter((other) => other[0] === name[0])
      const nearest = nearestName(name, similar)
      return nearest === undefined ? [] : [[name, nearest]]
    })
  }

  #selects(name: string): boolean {
    const [, role] = selectsBackend.exec(name) ?? []
    return role !== undefined && !this.#isSet(`${role}_DRIVER`) && !this.#isSet(`${role}_STORE`)
  }

  #isIgnored(name: string): boolean {
    return this.#isSet(name) && !this.#read.has(name)
  }

  #isSet(name: string): boolean {
    return Boolean(this.#all[name]?.trim())
  }
}
