import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../run.mjs'

export const cacheFolder = join(root, 'node_modules/.cache/stowage-mutate')

/** What has noticed each mutant in earlier runs. A mutant is known by its text and the text around it. */
export class KnownKillers {
  #path
  #killers = {}
  #isUsed

  constructor(room, isUsed) {
    this.#path = join(cacheFolder, `${room.replaceAll('/', '-')}.json`)
    this.#isUsed = isUsed
    try {
      this.#killers = JSON.parse(readFileSync(this.#path, 'utf8'))
    } catch {}
  }

  get(mutant, code) {
    return this.#isUsed ? this.#killers[this.#nameOf(mutant, code)] : undefined
  }

  set(mutant, code, killer) {
    this.#killers[this.#nameOf(mutant, code)] = killer
    writeFileSync(this.#path, JSON.stringify(this.#killers))
  }

  #nameOf({ file, operator, start, end, to }, code) {
    const parts = [file, operator, code.slice(start - 100, end + 100), to]
    return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
  }
}
