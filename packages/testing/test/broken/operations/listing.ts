import { type BrokenStores, filteredScan, matchesGlob, pagesOf, withScan } from './mutation.ts'

export const listing: BrokenStores = {
  'scan reads the prefix as a glob pattern': ['scan', filteredScan(matchesGlob)],
  'scan stops after the first page': [
    'scan',
    withScan(async function* (store, prefix) {
      for await (const page of pagesOf(store, prefix)) return yield page
    }),
  ],
  'scan ignores the prefix': ['scan', withScan((store) => pagesOf(store, ''))],
  'scan lists keys that contain the prefix': [
    'scan',
    filteredScan((key, prefix) => key.includes(prefix)),
  ],
  'scan ignores upper and lower case': [
    'scan',
    filteredScan((key, prefix) => key.toLowerCase().startsWith(prefix.toLowerCase())),
  ],
  'scan removes the prefix from the keys': [
    'scan',
    withScan(async function* (store, prefix) {
      for await (const page of pagesOf(store, prefix)) {
        yield page.map((key) => key.slice(prefix.length))
      }
    }),
  ],
  'scan skips keys after deletions': [
    'scan',
    withScan(async function* ({ items }, prefix) {
      const keys = () => [...items.keys()].filter((key) => key.startsWith(prefix))
      for (let offset = 0; offset < keys().length; offset += 100) {
        yield keys().slice(offset, offset + 100)
      }
    }),
  ],
  'clear deletes every second key': [
    'clear',
    (store) => ({
      clear: () =>
        void store.deleteMany([...store.items.keys()].filter((_key, index) => index % 2 === 1)),
    }),
  ],
  'clear deletes only the prefix of the conformance kit': [
    'clear',
    (store) => ({
      clear: () =>
        void store.deleteMany([...store.items.keys()].filter((key) => key.startsWith('conform:'))),
    }),
  ],
  'clear of a prefix reads it as a glob pattern': ['clear', filteredScan(matchesGlob)],
}
