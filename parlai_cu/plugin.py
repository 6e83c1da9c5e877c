"""
THE list of names: everything ParlAI can find of ours, and the module it is found in.

A new variant is one file and one line here. Only strings stand in this module, because it is
read at every interpreter start; what a string names is imported when somebody asks for it.
"""

# `-m NAME`; both spellings resolve, so both may stand in an .opt file
AGENTS = {
    "frozen_layer": "parlai_cu.agents.frozen_layer.frozen_layer:FrozenLayerAgent",
    "cu:frozen_layer": "parlai_cu.agents.frozen_layer.frozen_layer:FrozenLayerAgent",
    "distill_student": "parlai_cu.agents.distill_student.distill_student:DistillStudentAgent",
    "cu:distill_student": "parlai_cu.agents.distill_student.distill_student:DistillStudentAgent",
    "kb_augmented": "parlai_cu.agents.kb_augmented.kb_augmented:KBAugmentedAgent",
    "cu:kb_augmented": "parlai_cu.agents.kb_augmented.kb_augmented:KBAugmentedAgent",
    "deployed": "parlai_cu.agents.deployed.deployed:DeployedAgent",
    "cu:deployed": "parlai_cu.agents.deployed.deployed:DeployedAgent",
    "domain_adapters": "parlai_cu.agents.domain_adapters.domain_adapters:DomainAdaptersAgent",
    "cu:domain_adapters": "parlai_cu.agents.domain_adapters.domain_adapters:DomainAdaptersAgent",
}

# `--distill-loss NAME`: divergences between student and teacher
DIVERGENCES = {
    "forward_kl": "parlai_cu.distillation.forward_kl:ForwardKL",
    "reverse_kl": "parlai_cu.distillation.reverse_kl:ReverseKL",
    "jensen_shannon": "parlai_cu.distillation.jensen_shannon:JensenShannon",
    "cosine": "parlai_cu.distillation.cosine:Cosine",
}

# `--penalty NAME`: prices on leaving the deployed model
PENALTIES = {
    "l2sp": "parlai_cu.retention.l2sp:L2SP",
    "ewc": "parlai_cu.retention.ewc:EWC",
    "lwf": "parlai_cu.retention.lwf:LWF",
}

# `--kb SCHEME:...`: knowledge bases, by what their URI begins with
KNOWLEDGE_BASES = {
    "sqlite": "parlai_cu.knowledge.backends.sqlite:SQLiteFacts",
    "graph": "parlai_cu.knowledge.backends.graph:GraphFile",
    "sparql": "parlai_cu.knowledge.backends.sparql:SparqlEndpoint",
    "sql": "parlai_cu.knowledge.backends.structured:StructuredDatabase",
    "postgresql": "parlai_cu.knowledge.backends.postgresql:PostgresFacts",
    "mysql": "parlai_cu.knowledge.backends.structured:StructuredDatabase",
    "openai": "parlai_cu.knowledge.backends.openai:LanguageModel",
    "agent": "parlai_cu.agents.kb_augmented.domain_model:DomainModel",
}

# `--kb-gate NAME`: when a turn is to be answered with knowledge
GATES = {
    "always": "parlai_cu.knowledge.gates.always:Always",
    "never": "parlai_cu.knowledge.gates.never:Never",
    "score": "parlai_cu.knowledge.gates.score:Score",
    "uncertainty": "parlai_cu.knowledge.gates.uncertainty:Uncertainty",
    "classifier": "parlai_cu.knowledge.gates.classifier:Classifier",
}

# `--kb-rank NAME`: which of the facts found comes first
RANKERS = {
    "search": "parlai_cu.knowledge.rankers.search:Search",
    "word_pairs": "parlai_cu.knowledge.rankers.word_pairs:WordPairs",
}

# `--kb-integrate NAME`: what becomes of the facts
INTEGRATORS = {
    "answer": "parlai_cu.knowledge.integrators.answer:Answer",
    "append": "parlai_cu.knowledge.integrators.append:Append",
    "fuse": "parlai_cu.knowledge.integrators.fuse:Fuse",
    "prompt": "parlai_cu.knowledge.integrators.prompt:Prompt",
    "rerank": "parlai_cu.knowledge.integrators.rerank:Rerank",
    "template": "parlai_cu.knowledge.integrators.template:Template",
}

# `-t FILE`: formats of conversations, in the order in which they are tried (`--format NAME`)
DATA_FORMATS = {
    "parlai_json": "parlai_cu.data.readers.parlai_json:ParlAIJson",
    "parlai_text": "parlai_cu.data.readers.parlai_text:ParlAIText",
    "fbdialog": "parlai_cu.data.readers.fbdialog:FbDialog",
    "preference": "parlai_cu.data.readers.preference:PreferencePairs",
    "chatwoot": "parlai_cu.data.readers.help_desks:Chatwoot",
    "telegram": "parlai_cu.data.readers.telegram:Telegram",
    "openai": "parlai_cu.data.readers.openai:OpenAIMessages",
    "sharegpt": "parlai_cu.data.readers.sharegpt:ShareGPT",
    "alpaca": "parlai_cu.data.readers.alpaca:Alpaca",
    "zendesk": "parlai_cu.data.readers.help_desks:Zendesk",
    "intercom": "parlai_cu.data.readers.help_desks:Intercom",
    "freshdesk": "parlai_cu.data.readers.help_desks:Freshdesk",
    "rasa": "parlai_cu.data.readers.rasa:Rasa",
    "messages": "parlai_cu.data.readers.message_rows:MessageRows",
    "questions": "parlai_cu.data.readers.rows:QuestionRows",
    "whatsapp": "parlai_cu.data.readers.whatsapp:WhatsApp",
    "script": "parlai_cu.data.readers.script:Script",
}

# `parlai data`: faults of data, in the order in which they are repaired
DATA_CHECKS = {
    "encodings": "parlai_cu.update.inspection.checks.encodings:Encodings",
    "markup": "parlai_cu.update.inspection.checks.markup:Markup",
    "swapped_speakers": "parlai_cu.update.inspection.checks.swapped_speakers:SwappedSpeakers",
    "echoes": "parlai_cu.update.inspection.checks.echoes:Echoes",
    "empty_replies": "parlai_cu.update.inspection.checks.empty_replies:EmptyReplies",
    "duplicates": "parlai_cu.update.inspection.checks.duplicates:Duplicates",
    "leaks": "parlai_cu.update.inspection.checks.leaks:Leaks",
    "contradictions": "parlai_cu.update.inspection.checks.contradictions:Contradictions",
    "personal_data": "parlai_cu.update.inspection.checks.personal_data:PersonalData",
}

# `parlai NAME`: modules whose import runs @register_script
SCRIPTS = (
    "parlai_cu.scripts.data",
    "parlai_cu.scripts.doctor",
    "parlai_cu.scripts.export_model",
    "parlai_cu.scripts.knowledge_base",
    "parlai_cu.scripts.score_parameters",
    "parlai_cu.scripts.versions",
    "parlai_cu.scripts.update_model",
    "parlai_cu.scripts.serve",
)

# `-t NAME`: the package that holds agents.py (and worlds.py where there is one)
TASKS = {
    "telecom": "parlai_cu.tasks.telecom",
    "sgd_service": "parlai_cu.tasks.sgd_service",
    "dstc11": "parlai_cu.tasks.dstc11",
    "corrections": "parlai_cu.tasks.corrections",
    "messages": "parlai_cu.tasks.messages",
}

# `zoo:NAME/model`: the package that holds build.py with ParlAI's download(datapath)
ZOO = {
    "telecom": "parlai_cu.zoo.telecom",
}

# Modules of ParlAI, and what they import at their top and hardly ever use: that is imported when
# it is used (parlai_cu/host/late_imports.py).
LATE_IMPORTS = {
    "parlai.core.build_data": ("torch.multiprocessing", "requests", "tqdm"),
    "parlai.core.teachers": ("yaml",),
    "parlai.core.image_featurizers": ("PIL",),
    "parlai.utils.bpe": ("regex",),
    "parlai.core.torch_classifier_agent": ("sklearn.metrics",),
    "parlai.utils.fsdp": (
        "torch.distributed.fsdp",
        "torch.distributed.fsdp.wrap",
        "torch.distributed.fsdp.fully_sharded_data_parallel",
    ),
    "parlai.chat_service.services.messenger": ("joblib",),
}

# Modules that are imported within something of ours: the file in parlai_cu/host/, and the context.
AROUND_IMPORTS = {"parlai.chat_service.utils.logging": "stock_chat_service:no_log_file"}

# What we add to ParlAI itself, in parlai_cu/host/: the file's name, and the modules it changes.
# Where two change the same, the later one is called first.
EXTENSIONS = {
    "late_imports": ("parlai.utils.fsdp",),
    "model_scripts": ("parlai.scripts.token_stats", "parlai.scripts.torchscript"),
    "model_pickles": (
        "parlai.utils.pickle",
        "parlai.core.opt",
        "parlai.core.params",
        "parlai.agents.seq2seq.seq2seq",
    ),
    "given_flags": ("parlai.core.params",),
    "named_files": (
        "parlai.core.script",
        "parlai.core.opt",
        "parlai.core.agents",
        "parlai.core.teachers",
        "parlai.core.mutators",
        "parlai.core.torch_generator_agent",
    ),
    "command_line": ("parlai.core.script",),
    "fp16_padding": ("parlai.core.agents",),
    "misspelt_names": (
        "parlai.core.loader",
        "parlai.core.build_data",
        "parlai.core.agents",
        "parlai.core.params",
        "parlai.core.worlds",
    ),
    # after misspelt_names, whose errors it completes
    "file_tasks": ("parlai.core.loader", "parlai.core.params"),
    "stream_lengths": ("parlai.core.teachers",),
    "data_errors": (
        "parlai.utils.conversations",
        "parlai.core.teachers",
        "parlai.scripts.eval_model",
    ),
    "closed_classes": ("parlai.core.torch_classifier_agent",),
    "silent_replies": ("parlai.core.torch_agent", "parlai.agents.seq2seq.seq2seq"),
    "ranker_candidates": ("parlai.core.torch_ranker_agent",),
    "train_loop": ("parlai.scripts.train_model",),
    "inherited_options": ("parlai.core.agents",),
    "opt_copies": ("parlai.core.opt",),
    "foreign_options": (
        "parlai.core.params",
        "parlai.core.agents",
        "parlai.scripts.train_model",
    ),
    "settings_listed": ("parlai.core.opt",),
    "readable_replies": ("parlai.agents.local_human.local_human",),
    "eval_retention": ("parlai.scripts.eval_model",),
    "untrained_flags": (
        "parlai.scripts.interactive",
        "parlai.scripts.safe_interactive",
        "parlai.scripts.self_chat",
        "parlai.scripts.eval_model",
    ),
    "websocket_service": (
        "parlai.core.params",
        "parlai.chat_service.services.websocket.websocket_manager",
    ),
    "stock_chat_service": (
        "parlai.chat_service.utils.logging",
        "parlai.chat_service.utils.timeout",
        "parlai.chat_service.tasks.chatbot.worlds",
        "parlai.chat_service.services.messenger.messenger_manager",
    ),
}

# Repairs of ParlAI and of what it imports, in parlai_cu/compat/: the file's name, and the
# modules at whose import it looks whether it is needed.
REPAIRS = {
    "pkg_resources_gone": ("parlai.core.opt", "rouge"),
    "plateau_verbose": ("parlai.nn.lr_scheduler",),
    "numpy_int": ("parlai.core.dict",),
    "torchvision_mismatch": ("torchvision",),
    "rouge_without_punkt": ("rouge",),
    "pandas_stack": ("parlai.utils.misc",),
    "websocket_callbacks": ("websocket",),
    "gpt2_cache": ("parlai.agents.hugging_face.gpt2",),
    "gpt2_buffers": ("parlai.agents.hugging_face.gpt2",),
    "distributed_cpu": ("parlai.utils.distributed", "parlai.utils.fsdp"),
}
