/* Reads llama2.c's checkpoints (versions 0 and 1) and tokenizers, written from the formats' description alone.
 *
 *   llama2c_reader generate MODEL COUNT ID...     prints COUNT ids that follow greedily
 *   llama2c_reader encode TOKENIZER VOCAB_SIZE    reads texts from stdin, a zero byte after each; prints a line of ids a
 *                                                 text: run.c's space, characters or bytes, then best-score joins
 *
 * Sums are in double, so that it agrees with no other implementation by accident of order.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what) {
    fprintf(stderr, "llama2c_reader: %s\n", what);
    exit(1);
}

static char *read_all(FILE *file, size_t *size) {
    size_t room = 1 << 16;
    char *data = malloc(room);
    *size = 0;
    for (size_t got; (got = fread(data + *size, 1, room - *size - 1, file)) > 0;) {
        *size += got;
        if (*size + 1 >= room) data = realloc(data, room *= 2);
    }
    data[*size] = 0;
    return data;
}

static char *read_path(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) fail("no such file");
    char *data = read_all(file, size);
    fclose(file);
    return data;
}

/* ---- the model ---- */

typedef struct {
    int dim, hidden, layers, heads, kv_heads, vocab, context;
    const float *embedding, *norm_att, *wq, *wk, *wv, *wo, *norm_ffn, *w1, *w2, *w3, *norm_final, *output;
} Model;

static const float *take(const float **at, size_t count) {
    const float *here = *at;
    *at += count;
    return here;
}

static Model load(const char *path) {
    size_t size;
    char *data = read_path(path, &size);
    int32_t head[9], *sizes = head;
    if (size < 256) fail("too short");
    memcpy(head, data, sizeof head);
    int version = head[0] == 0x616b3432 ? head[1] : 0;
    if (version) sizes += 2;
    Model m = {.dim = sizes[0], .hidden = sizes[1], .layers = sizes[2], .heads = sizes[3], .kv_heads = sizes[4],
               .vocab = abs(sizes[5]), .context = sizes[6]};
    int shared = version ? data[36] : sizes[5] > 0;
    const float *first = (const float *)(data + (version ? 256 : 28)), *at = first;
    size_t L = m.layers, E = m.dim, F = m.hidden, V = m.vocab, KV = E / m.heads * m.kv_heads;
    if (version == 1) {
        m.norm_att = take(&at, L * E);
        m.norm_ffn = take(&at, L * E);
        m.norm_final = take(&at, E);
    }
    m.embedding = take(&at, V * E);
    if (version == 0) m.norm_att = take(&at, L * E);
    m.wq = take(&at, L * E * E);
    m.wk = take(&at, L * KV * E);
    m.wv = take(&at, L * KV * E);
    m.wo = take(&at, L * E * E);
    if (version == 0) m.norm_ffn = take(&at, L * E);
    m.w1 = take(&at, L * F * E);
    m.w2 = take(&at, L * E * F);
    m.w3 = take(&at, L * F * E);
    if (version == 0) {
        m.norm_final = take(&at, E);
        take(&at, (size_t)m.context * (E / m.heads)); /* cosines and sines: computed here */
    }
    m.output = shared ? m.embedding : take(&at, V * E);
    if ((const char *)at != data + size) fail("the header asks for another size");
    return m;
}

static void product(float *out, const float *matrix, const float *x, int rows, int columns) {
    for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int c = 0; c < columns; c++) sum += (double)matrix[(size_t)r * columns + c] * x[c];
        out[r] = (float)sum;
    }
}

static void rms_norm(float *out, const float *x, const float *weight, int size) {
    double squares = 0;
    for (int i = 0; i < size; i++) squares += (double)x[i] * x[i];
    double scale = 1 / sqrt(squares / size + 1e-5);
    for (int i = 0; i < size; i++) out[i] = (float)(weight[i] * scale * x[i]);
}

static void rotate(float *heads, int count, int head_size, int position) {
    for (int h = 0; h < count; h++)
        for (int i = 0; i < head_size; i += 2) {
            double angle = position * pow(10000.0, -(double)i / head_size);
            float *pair = heads + h * head_size + i, a = pair[0], b = pair[1];
            pair[0] = (float)(a * cos(angle) - b * sin(angle));
            pair[1] = (float)(a * sin(angle) + b * cos(angle));
        }
}

/* One token at a position; keys and values of all layers so far lie in the cache, (layers, context, kv) each. */
static void step(const Model *m, float *keys, float *values, int token, int position, float *logits) {
    int E = m->dim, F = m->hidden, D = E / m->heads, KV = D * m->kv_heads;
    float x[E], normed[E], q[E], mixed[E], out[E], gate[F], up[F];
    double weight[m->context];
    memcpy(x, m->embedding + (size_t)token * E, sizeof x);
    for (int l = 0; l < m->layers; l++) {
        float *k = keys + ((size_t)l * m->context) * KV, *v = values + ((size_t)l * m->context) * KV;
        rms_norm(normed, x, m->norm_att + l * E, E);
        product(q, m->wq + (size_t)l * E * E, normed, E, E);
        product(k + position * KV, m->wk + (size_t)l * KV * E, normed, KV, E);
        product(v + position * KV, m->wv + (size_t)l * KV * E, normed, KV, E);
        rotate(q, m->heads, D, position);
        rotate(k + position * KV, m->kv_heads, D, position);
        for (int h = 0; h < m->heads; h++) {
            int shared = h / (m->heads / m->kv_heads) * D;
            double largest = -INFINITY, total = 0;
            for (int t = 0; t <= position; t++) {
                double score = 0;
                for (int i = 0; i < D; i++) score += (double)q[h * D + i] * k[t * KV + shared + i];
                weight[t] = score / sqrt(D);
                if (weight[t] > largest) largest = weight[t];
            }
            for (int t = 0; t <= position; t++) total += weight[t] = exp(weight[t] - largest);
            for (int i = 0; i < D; i++) {
                double sum = 0;
                for (int t = 0; t <= position; t++) sum += weight[t] / total * v[t * KV + shared + i];
                mixed[h * D + i] = (float)sum;
            }
        }
        product(out, m->wo + (size_t)l * E * E, mixed, E, E);
        for (int i = 0; i < E; i++) x[i] += out[i];
        rms_norm(normed, x, m->norm_ffn + l * E, E);
        product(gate, m->w1 + (size_t)l * F * E, normed, F, E);
        product(up, m->w3 + (size_t)l * F * E, normed, F, E);
        for (int i = 0; i < F; i++) gate[i] = (float)(gate[i] / (1 + exp(-gate[i])) * up[i]);
        product(out, m->w2 + (size_t)l * E * F, gate, E, F);
        for (int i = 0; i < E; i++) x[i] += out[i];
    }
    rms_norm(normed, x, m->norm_final, E);
    product(logits, m->output, normed, m->vocab, E);
}

static void generate(const char *path, int count, int prompt, char **ids) {
    Model m = load(path);
    if (prompt < 1 || prompt + count > m.context + 1) fail("more tokens than the context holds");
    size_t cached = (size_t)m.layers * m.context * (m.dim / m.heads * m.kv_heads);
    float *keys = calloc(cached, sizeof(float)), *values = calloc(cached, sizeof(float));
    float *logits = calloc(m.vocab, sizeof(float));
    for (int position = 0, token = atoi(ids[0]); position < prompt + count - 1; position++) {
        step(&m, keys, values, token, position, logits);
        if (position + 1 < prompt) {
            token = atoi(ids[position + 1]);
            continue;
        }
        token = 0;
        for (int i = 1; i < m.vocab; i++)
            if (logits[i] > logits[token]) token = i;
        printf("%d ", token);
    }
    printf("\n");
}

/* ---- the tokenizer ---- */

typedef struct {
    char *text;
    float score;
    int row;
} Piece;

static int by_text(const void *a, const void *b) { return strcmp(((const Piece *)a)->text, ((const Piece *)b)->text); }

static const Piece *find(const Piece *sorted, int count, char *text) {
    Piece wanted = {text, 0, 0};
    return bsearch(&wanted, sorted, count, sizeof(Piece), by_text);
}

static void encode_text(const Piece *rows, const Piece *sorted, int vocab, char *text, char *joint) {
    int *tokens = malloc((strlen(text) + 2) * sizeof(int)), count = 0;
    if (*text) {
        const Piece *space = find(sorted, vocab, " ");
        if (!space) fail("no piece is a space");
        tokens[count++] = space->row;
    }
    while (*text) {
        int length = 1;
        while (length < 4 && (text[length] & 0xC0) == 0x80) length++;
        memcpy(joint, text, length);
        joint[length] = 0;
        const Piece *whole = find(sorted, vocab, joint);
        if (whole) tokens[count++] = whole->row;
        else
            for (int i = 0; i < length; i++) tokens[count++] = (unsigned char)text[i] + 3;
        text += length;
    }
    for (;;) {
        const Piece *best = NULL;
        int place = 0;
        for (int i = 0; i + 1 < count; i++) {
            strcat(strcpy(joint, rows[tokens[i]].text), rows[tokens[i + 1]].text);
            const Piece *found = find(sorted, vocab, joint);
            if (found && found->score > -1e10f && (!best || found->score > best->score)) {
                best = found;
                place = i;
            }
        }
        if (!best) break;
        tokens[place] = best->row;
        memmove(tokens + place + 1, tokens + place + 2, (--count - place - 1) * sizeof(int));
    }
    for (int i = 0; i < count; i++) printf("%d ", tokens[i]);
    printf("\n");
    free(tokens);
}

static void encode(const char *path, int vocab) {
    size_t size, texts_size;
    char *data = read_path(path, &size), *at = data + 4;
    int32_t longest, length;
    memcpy(&longest, data, 4);
    Piece *rows = malloc(vocab * sizeof(Piece)), *sorted = malloc(vocab * sizeof(Piece));
    for (int row = 0; row < vocab; row++) {
        memcpy(&rows[row].score, at, 4);
        memcpy(&length, at + 4, 4);
        if (length < 1 || length > longest) fail("a piece has an impossible length");
        rows[row].row = row;
        rows[row].text = calloc(length + 1, 1);
        memcpy(rows[row].text, at + 8, length);
        at += 8 + length;
    }
    if (at != data + size) fail("the tokenizer has another size");
    memcpy(sorted, rows, vocab * sizeof(Piece));
    qsort(sorted, vocab, sizeof(Piece), by_text);
    char *texts = read_all(stdin, &texts_size), *joint = malloc(2 * longest + 8);
    for (char *text = texts; text < texts + texts_size; text += strlen(text) + 1)
        encode_text(rows, sorted, vocab, text, joint);
}

int main(int count, char **words) {
    if (count > 4 && !strcmp(words[1], "generate")) generate(words[2], atoi(words[3]), count - 4, words + 4);
    else if (count == 4 && !strcmp(words[1], "encode")) encode(words[2], atoi(words[3]));
    else fail("generate MODEL COUNT ID... or encode TOKENIZER VOCAB_SIZE");
}
