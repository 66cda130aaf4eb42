// What a run trains on: the same batches for the same seed, every window once an epoch, files that are not as they should be.
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { ByteTokenizer, CharacterTokenizer, type Dataset, TokenFile, textDataset, tokenDataset } from "statespace";

describe("data sets", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-data-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function file(name: string, contents: string | Uint8Array): string {
    const path = join(folder, name);
    writeFileSync(path, contents);
    return path;
  }

  const numbers = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i % 251);

  it("give the same batch for the same seed and position, another for another seed", async () => {
    const path = file("same.bin", numbers(5000));
    const open = (seed: number): Promise<Dataset> =>
      tokenDataset(path, { format: "uint8", vocabSize: 256, length: 16, batch: 4, seed });
    const [one, two, other] = await Promise.all([open(7), open(7), open(8)]);
    const late = await two.batch(100);
    expect(await two.batch(3)).deep.equal(await one.batch(3));
    expect(await one.batch(100)).deep.equal(late);
    expect((await other.batch(3)).ids).not.deep.equal((await one.batch(3)).ids);
    await Promise.all([one, two, other].map((data) => data.close()));
  });

  it("visit every window once in an epoch, in another order in the next", async () => {
    const tokens = 16 * 50;
    const words = Uint16Array.from({ length: tokens }, (_, i) => i);
    const path = file("epoch.bin", new Uint8Array(words.buffer));
    const data = await tokenDataset(path, { format: "uint16", vocabSize: tokens, length: 16, batch: 1, validation: 0 });
    const epoch = async (first: number): Promise<number[]> => {
      const starts: number[] = [];
      for (let i = 0; i < data.windows; i++) {
        const { ids, targets } = await data.batch(first + i);
        expect(Array.from(targets)).deep.equal(Array.from(ids, (id) => id + 1));
        starts.push(ids[0] as number);
      }
      return starts;
    };
    const [first, second] = [await epoch(0), await epoch(data.windows)];
    for (const starts of [first, second]) {
      const sorted = starts.toSorted((a, b) => a - b);
      for (let i = 1; i < sorted.length; i++) expect((sorted[i] as number) - (sorted[i - 1] as number)).equal(16);
    }
    expect(second).not.deep.equal(first);
    await data.close();
  });

  it("keep training and validation apart", async () => {
    const words = Uint32Array.from({ length: 2000 }, (_, i) => i);
    const path = file("split.bin", new Uint8Array(words.buffer));
    const data = await tokenDataset(path, {
      format: "uint32",
      vocabSize: 2000,
      length: 32,
      batch: 3,
      validation: 0.25,
    });
    expect(data.trainTokens).equal(1500);
    for (let i = 0; i < 40; i++) expect(Math.max(...(await data.batch(i)).targets)).below(1500);
    const seen = new Set<number>();
    for (let i = 0; i < 5; i++) {
      const { ids } = await data.validationBatch(i, 5);
      expect(Math.min(...ids)).least(1500);
      for (const id of ids) seen.add(id);
    }
    expect(seen.size).equal(15 * 32);
    await data.close();
  });

  it("read text by bytes and by characters, also beyond ASCII", async () => {
    const text = "Grüße, 世界! 😀\n".repeat(40);
    const path = file("text.txt", text);
    const bytes = await textDataset(path, { length: 8, batch: 2 });
    expect(bytes.vocabSize).equal(256);
    expect(bytes.tokenizer).instanceOf(ByteTokenizer);
    expect(bytes.source.length).equal(Buffer.byteLength(text));
    const characters = await textDataset(path, { length: 8, batch: 2, vocabulary: "characters" });
    const tokenizer = characters.tokenizer as CharacterTokenizer;
    expect(tokenizer.characters).deep.equal(
      [...new Set(text)].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number)),
    );
    expect(characters.source.length).equal([...text].length);
    const ids = await characters.source.read(0, 12);
    expect(Array.from(ids, (id) => tokenizer.characters[id]).join("")).equal([...text].slice(0, 12).join(""));
    const plain = await textDataset(file("ascii.txt", "to be or not to be\n".repeat(20)), {
      length: 8,
      batch: 1,
      vocabulary: "characters",
    });
    expect(plain.source).instanceOf(TokenFile);
    const first = await plain.source.read(0, 5);
    const own = plain.tokenizer as CharacterTokenizer;
    expect(Array.from(first, (id) => own.characters[id]).join("")).equal("to be");
    await Promise.all([bytes, characters, plain].map((data) => data.close()));
  });

  it("read windows at their positions from a file larger than they hold", async () => {
    const path = file("sparse.bin", "");
    truncateSync(path, 6 * 2 ** 30);
    const before = process.memoryUsage().rss;
    const data = await tokenDataset(path, { format: "uint8", vocabSize: 256, length: 64, batch: 8 });
    expect((await data.batch(12345)).ids.length).equal(512);
    expect(data.trainTokens).above(2 ** 32);
    expect(process.memoryUsage().rss - before).below(200e6);
    await data.close();
  });

  async function refused(work: () => Promise<unknown>, code: string, message: RegExp): Promise<void> {
    const error = await work().then(
      () => null,
      (e: unknown) => e as { code: string; message: string },
    );
    expect(error).property("code", code);
    expect(error?.message).match(message);
  }

  it("refuse files that cannot be used, saying why", async () => {
    const options = { length: 8, batch: 2 };
    await refused(() => textDataset(join(folder, "none.txt"), options), "ERR_IO", /none\.txt/);
    await refused(() => textDataset(folder, options), "ERR_IO", /not a file/);
    await refused(() => textDataset(file("short.txt", "abc"), options), "ERR_DATA", /too few/);
    await refused(() => textDataset(file("empty.txt", ""), options), "ERR_DATA", /too few/);
    const odd = file("odd.bin", numbers(1001));
    await refused(
      () => tokenDataset(odd, { ...options, format: "uint16", vocabSize: 9 }),
      "ERR_DATA",
      /no whole number/,
    );
    const latin = file(
      "latin.txt",
      Uint8Array.from({ length: 500 }, () => 0xe9),
    );
    await refused(() => textDataset(latin, { ...options, vocabulary: "characters" }), "ERR_DATA", /not UTF-8/);
    const good = file("good.bin", numbers(1000));
    await refused(() => textDataset(good, { length: Number.NaN, batch: 2 }), "ERR_ARGUMENT", /length is NaN/);
    await refused(() => textDataset(good, { ...options, validation: Number.NaN }), "ERR_ARGUMENT", /validation is NaN/);
    await refused(() => textDataset(good, { ...options, seed: -1 }), "ERR_ARGUMENT", /seed is -1/);
  });

  it("say so when a file became shorter", async () => {
    const path = file("shrinks.bin", numbers(4000));
    const data = await textDataset(path, { length: 8, batch: 8, validation: 0 });
    truncateSync(path, 100);
    await refused(() => data.batch(0), "ERR_DATA", /became shorter/);
    await data.close();
  });

  it("name a character that the vocabulary lacks", () => {
    expect(() => new CharacterTokenizer("abc").encode("abd")).throw(/no character "d"/);
  });
});
