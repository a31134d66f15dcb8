import { type BrokenStores, filteredScan, matchesGlob, pagesOf, withScan } from '../mutation.ts'

/** Cuts the key to the length of the prefix in UTF-16 units, as `substr` of SQLite counts characters. */
const startsWithinUnits = (key: string, prefix: string) =>
  [...key].slice(0, prefix.length).join('') === prefix

/** The same with bytes of the key. */
const startsWithinBytes = (key: string, prefix: string) =>
  Buffer.from(key).subarray(0, prefix.length).toString() === prefix

const startsAlike = (key: string, prefix: string) =>
  key.startsWith(prefix.replaceAll(/[\udc00-\udfff].*/g, ''))

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
  'scan cuts keys to the UTF-16 length of the prefix': ['scan', filteredScan(startsWithinUnits)],
  'scan cuts the bytes of keys to the UTF-16 length of the prefix': [
    'scan',
    filteredScan(startsWithinBytes),
  ],
  'scan ends the prefix at a surrogate': ['scan', filteredScan(startsAlike)],
  'clear of a prefix cuts keys to its UTF-16 length': ['clear', filteredScan(startsWithinUnits)],
  'clear of a prefix ends the prefix at a surrogate': ['clear', filteredScan(startsAlike)],
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
