// The published suite of Keyv, against its own class.
import keyvTestSuite, { keyvIteratorTests } from '@keyv/test-suite'
import { keyvStore } from '@stowage/bridges/keyv'
import { Cache } from '@stowage/core'
import { Keyv } from 'keyv'
import * as vitest from 'vitest'
import { backends } from './backends.ts'

vitest.describe.each(backends)('Keyv on $name', (backend) => {
  const createStore = backend.use()
  let cache: Cache
  vitest.beforeAll(() => {
    cache = new Cache(createStore(), { prefix: 'keyv:' })
  })
  const store = () => keyvStore(cache)
  keyvTestSuite(vitest, Keyv as never, store)
  if (backend.listsKeys) keyvIteratorTests(vitest, Keyv as never, store)
})
