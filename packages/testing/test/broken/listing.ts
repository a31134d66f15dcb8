import { glob, list, type Row, scanning } from './mutation.ts'

export const listing: Record<string, Row> = {
  'scan takes the prefix for a glob': [
    'scan',
    scanning(async function* (s, prefix) {
      for await (const page of list(s, '')) yield page.filter((key) => glob(prefix).test(key))
    }),
  ],
  'scan misses the second page': [
    'scan',
    scanning(async function* (s, prefix) {
      for await (const page of list(s, prefix)) return yield page
    }),
  ],
  'scan lists foreign keys': ['scan', scanning((s) => list(s, ''))],
  'scan lists keys that contain the prefix': [
    'scan',
    scanning(async function* (s, prefix) {
      for await (const page of list(s, '')) yield page.filter((key) => key.includes(prefix))
    }),
  ],
  'scan ignores upper and lower case': [
    'scan',
    scanning(async function* (s, prefix) {
      for await (const page of list(s, '')) {
        yield page.filter((key) => key.toLowerCase().startsWith(prefix.toLowerCase()))
      }
    }),
  ],
  'scan lists the keys without the prefix': [
    'scan',
    scanning(async function* (s, prefix) {
      for await (const page of list(s, prefix)) yield page.map((key) => key.slice(prefix.length))
    }),
  ],
  'scan pages by offset while keys go away': [
    'scan',
    scanning(async function* ({ slots }, prefix) {
      const keys = () => [...slots.keys()].filter((key) => key.startsWith(prefix))
      for (let start = 0; start < keys().length; start += 100)
        yield keys().slice(start, start + 100)
    }),
  ],
  'clear clears half': [
    'clear',
    (s) => ({ clear: () => void s.deleteMany([...s.slots.keys()].filter((_, i) => i % 2)) }),
  ],
  'clear clears the usual prefix only': [
    'clear',
    (s) => ({
      clear: () =>
        void s.deleteMany([...s.slots.keys()].filter((key) => key.startsWith('conform:'))),
    }),
  ],
  'clear by a glob takes the neighbours along': [
    'clear',
    scanning(async function* (s, prefix) {
      for await (const page of list(s, '')) yield page.filter((key) => glob(prefix).test(key))
    }),
  ],
}
