import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder } from './known-killers.mjs'

const path = join(cacheFolder, 'passed.json')

/** The test files that have passed with an unchanged bundle, by the ids of their coverage. */
export class PassedTests {
  #ids = new Set()

  constructor() {
    try {
      this.#ids = new Set(JSON.parse(readFileSync(path, 'utf8')))
    } catch {}
  }

  has(id) {
    return this.#ids.has(id)
  }

  add(ids) {
    for (const id of ids) this.#ids.add(id)
    writeFileSync(path, JSON.stringify([...this.#ids]))
  }
}
