/** Runs test files in the order of STOWAGE_TEST_FILES. */
export default class InOrder {
  #files = (process.env.STOWAGE_TEST_FILES ?? '').split(',')

  shard(specifications) {
    return specifications
  }

  sort(specifications) {
    const place = ({ moduleId }) => this.#files.findIndex((file) => moduleId.endsWith(file))
    return specifications.sort((a, b) => place(a) - place(b))
  }
}
